# Count the rows of each table in the data of a dump as pg_restore writes it: one line a row between COPY and "\.", for
# text COPY escapes line ends. A line for each: count, newest moment, the COPY itself. "moments" is a file of lines
# "table<TAB>column": the column of which the newest value is kept. The rows of alembic_version are shown as they are.
BEGIN {
  FS = "\t"
  while (moments != "" && (getline line < moments) > 0) { split(line, words, "\t"); column[words[1]] = words[2] }
}
inside && $0 == "\\." { print count "\t" newest "\t" head; inside = 0; next }
inside {
  count++
  if (place) { value = $place; if (value > newest && value ~ /^[0-9]/) newest = value }
  if (is_revision && count <= 20) print "revision\t" $1
  next
}
/^COPY / && / FROM stdin;$/ {
  inside = 1; count = 0; newest = ""; place = 0; head = $0
  table = head; sub(/^COPY /, "", table); sub(/ \(.*$/, "", table)
  is_revision = (table == "public.alembic_version")
  if (table in column) {
    names = head; sub(/^[^(]*\(/, "", names); sub(/\) FROM stdin;$/, "", names)
    many = split(names, name, ", ")
    for (i = 1; i <= many; i++) if (name[i] == column[table]) place = i
  }
}
END { if (inside) print "cut\t\t" head }
