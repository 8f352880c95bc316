# What level a line of a log has, by its field or its place, and never by a word of its message. For any POSIX awk:
# no {n} in expressions, no functions of GNU. level(line) is 2 for critical and worse, 1 for error, 0 for another level,
# -1 where there is none; `shown` is then the level with what follows it.

function begin_levels() {
  known("critical crit fatal panic emerg emergency alert critique", 2)
  known("error err severe erreur grave fehler fail", 1)
  known("trace verbose debug debug1 debug2 debug3 debug4 debug5 dbg info inf information informational notice note warn warning wrn log fine finer finest config statement detail hint context query attention instruction astuce contexte success avertissement infos d\303\211tail requ\303\212te", 0)
  FIELDS = " level levelname level_name severity severity_text severitytext error_severity lvl loglevel log_level " \
    "log.level log.severity @l record.level.name "
  NUMBERS = " level levelno severity severity_number severitynumber level_value priority "
  MESSAGES = " msg message event short_message @m @mt text record.message "
  CALENDAR = " jan feb mar apr may jun jul aug sep oct nov dec mon tue wed thu fri sat sun utc gmt cet cest wat eat am pm "
}

function known(words, class,    list, count, i) {
  count = split(words, list, " ")
  for (i = 1; i <= count; i++) { CLASS[list[i]] = class; CAPITALS[toupper(list[i])] = class }
}

function class_of(word) {
  word = tolower(word)
  return word in CLASS ? CLASS[word] : -1
}

# Numbers of syslog, GELF and journald (0-3), Python (40, 50), pino and bunyan (50, 60), OpenTelemetry (17-24), monolog
# (400-600), logback (40000).
function class_of_number(field, number, line) {
  if (field == "levelno") return number >= 50 ? 2 : number >= 40 ? 1 : 0
  if (field ~ /^severity_?number$/) return number >= 21 ? 2 : number >= 17 ? 1 : 0
  if (field == "priority" || field == "severity" || index(line, "\"short_message\"")) return number <= 2 ? 2 : number == 3 ? 1 : 0
  if (number == 50 || number >= 400 && number < 500 || number == 40000) return 1
  return number == 60 || number >= 500 && number <= 600 ? 2 : 0
}

function unquoted(token) {
  token = substr(token, 2, length(token) - 2)
  gsub(/\\n|\\t|\\r/, " ", token)
  gsub(/\\"/, "\"", token)
  gsub(/\\\\/, "\\", token)
  return token
}

# A document: the level field at its top, of ECS in "log", of loguru in "record"; a string deeper down is a message's.
function of_json(line,    rest, token, depth, key, field, value, found, word, message, inner, class, is_mongo) {
  rest = substr(line, 1, 16000); depth = 0; found = -1; word = message = inner = key = ""
  is_mongo = index(line, "\"$date\"")
  while (match(rest, /"([^"\\]|\\.)*"|[{}]|\[|\]/)) {
    token = substr(rest, RSTART, RLENGTH)
    rest = substr(rest, RSTART + RLENGTH)
    if (token == "{" || token == "[") {
      depth++
      PREFIX[depth] = depth == 1 ? "" : (token == "[" ? "[" : PREFIX[depth - 1] key ".")
      continue
    }
    if (token == "}" || token == "]") { depth--; continue }
    if (!match(rest, /^[ \t]*:[ \t]*/)) continue
    rest = substr(rest, RLENGTH + 1)
    key = tolower(unquoted(token))
    field = PREFIX[depth] key
    value = ""
    if (match(rest, /^"([^"\\]|\\.)*"/)) {
      value = unquoted(substr(rest, 1, RLENGTH))
      rest = substr(rest, RLENGTH + 1)
    } else if (match(rest, /^[0-9]+/)) value = substr(rest, 1, RLENGTH)
    if (value == "") continue
    class = -1
    if (index(NUMBERS, " " field " ") && value ~ /^[0-9]+$/) class = class_of_number(field, value + 0, line)
    else if (index(FIELDS, " " field " ")) class = class_of(value)
    else if (is_mongo && field == "s") class = value == "F" ? 2 : value == "E" ? 1 : 0
    if (class > found) { found = class; word = value }
    if (message == "" && index(MESSAGES, " " field " ")) message = value
    if (field == "log" && depth == 1) inner = value
  }
  if (found < 0 && inner != "") return level(inner)
  shown = (word ~ /^[A-Za-z]+$/ ? toupper(word) : found == 2 ? "CRITICAL" : "ERROR") " " (message == "" ? line : message)
  return found
}

# level=error of logfmt, outside of quotes.
function of_logfmt(line,    before, value, class) {
  if (!match(line, /(^|[ \t])(level|lvl|severity|levelname|loglevel|log_level|log\.level)="?[A-Za-z0-9]+/)) return -1
  before = substr(line, 1, RSTART)
  if (gsub(/"/, "", before) % 2) return -1
  shown = substr(line, RSTART + (RSTART > 1))
  value = substr(line, RSTART, RLENGTH)
  sub(/.*="?/, "", value)
  class = value ~ /^[0-9]+$/ ? class_of_number("level", value + 0, line) : class_of(value)
  shown = toupper(value) substr(shown, index(shown, value) + length(value))
  return class
}

# The level inside brackets: [error], [core:error], [2026-11-28 00:00:01,123: ERROR/MainProcess].
function of_brackets(inside,    words, count, i) {
  count = split(inside, words, /[ \t:,\/|]+/)
  for (i = 1; i <= count; i++) {
    if (words[i] == toupper(words[i]) && class_of(words[i]) >= 0) { word = words[i]; return class_of(word) }
  }
  if (inside ~ /[ \t]/ && count > 1) return -1
  word = words[count]
  return class_of(word)
}

# What stands before the message: time, host, process, logger, level. The first word that is none of them ends it.
function of_header(line,    rest, n, token, bare, first, parts, count, i, class, plain, after_time, seen_time, is_tab) {
  rest = substr(line, 1, 600); plain = after_time = seen_time = 0; is_tab = 0
  for (n = 1; n <= 16; n++) {
    if (rest ~ /^[ |\t]/) {
      is_tab = is_tab || rest ~ /^ *\t/
      sub(/^[ |\t]+/, "", rest)
    }
    if (rest == "") return -1
    if (rest ~ /^\{["\047]/) return of_json(rest)
    if (rest ~ /^[[<(]/ && (match(rest, /^\[[^]]*\]/) || match(rest, /^[<(][A-Za-z]+[>)]/))) {
      token = substr(rest, 2, RLENGTH - 2)
      class = of_brackets(token)
      if (class >= 0) { shown = toupper(word) substr(rest, index(token, word) + length(word) + 1); return class }
      rest = substr(rest, RLENGTH + 1)
      seen_time = seen_time || token ~ /[0-9]/
      continue
    }
    if (rest ~ /^["\047`]/) return -1
    match(rest, /^[^ \t]+/)
    token = substr(rest, 1, RLENGTH)
    if (token !~ /[A-Za-z]/) {  # a time, a process, a dash
      rest = substr(rest, RLENGTH + 1)
      is_tab = 0
      if (token ~ /[0-9]/) after_time = seen_time = 1
      continue
    }
    is_tab = is_tab && substr(rest, RLENGTH + 1, 1) == "\t"
    bare = token
    if (bare ~ /^[^A-Za-z]/) sub(/^[^A-Za-z]+/, "", bare)
    if (bare ~ /[^A-Za-z0-9]$/) sub(/[^A-Za-z0-9]+$/, "", bare)
    first = bare
    if (match(first, /[:\/|]/)) first = substr(first, 1, RSTART - 1)
    class = first ~ /\./ ? -1 : class_of(first)
    if (class >= 0 && (first == toupper(first) || is_tab || token ~ /:$/ && n == 1 || n == 1 && token == tolower(token) ":" \
        || after_time && first !~ /^([Aa]lert|[Ff]ail|[Ss]evere|[Nn]ote|[Ll]og|[Cc]onfig|[Qq]uery|[Dd]etail|[Hh]int|[Cc]ontext|[Ss]uccess|[Ss]tatement|[Ff]ine)$/) \
        && !(tolower(first) == "fail" && token !~ /:$/)) {
      shown = toupper(first) substr(rest, index(rest, first) + length(first))
      return class
    }
    if (index(token, "|")) {
      count = split(token, parts, "|")
      for (i = 1; i <= count; i++) if (parts[i] == toupper(parts[i]) && class_of(parts[i]) >= 0) {
        shown = substr(rest, index(rest, parts[i]))
        return class_of(parts[i])
      }
    }
    if (bare ~ /^(kern|user|mail|daemon|auth|authpriv|syslog|cron|local[0-7])\.(emerg|alert|crit|err|error|warn|warning|notice|info|debug)$/) {
      sub(/.*\./, "", bare)
      shown = toupper(bare) substr(rest, length(token) + 1)
      return class_of(bare)
    }
    rest = substr(rest, length(token) + 1)
    is_tab = 0
    if (index(CALENDAR, " " tolower(bare) " ")) continue
    if (token ~ /^[0-9TZ:.,+\/-]+$/) {
      after_time = seen_time = seen_time || token ~ /[0-9]/
      continue
    }
    after_time = 0
    if (token ~ /[].\[@=_0-9\/-]/ || token ~ /:$/ || rest ~ /^ +[-|] /) continue
    if (!seen_time || ++plain > 1) return -1
  }
  return -1
}

function level(line,    class, priority, message) {
  # The most frequent forms, at once: 2026-11-28 00:00:01,123 ERROR, [2026-11-28 00:00:01,123: ERROR/MainProcess].
  if (line ~ /^\[?[0-9]/) {
    split(substr(line, 1, 48), START, /[ \/]/)
    if (START[2] ~ /^[0-9]/ && START[3] in CAPITALS) {
      shown = substr(line, length(START[1]) + length(START[2]) + 3)
      return CAPITALS[START[3]]
    }
  }
  if (index(line, "\033")) gsub(/\033\[[0-9;]*m/, "", line)
  shown = line
  priority = -1
  if (match(line, /^<[0-9]+>/)) {
    priority = substr(line, 2, RLENGTH - 2) % 8
    line = substr(line, RLENGTH + 1)
    sub(/^1 /, "", line)
    shown = (priority < 3 ? "CRITICAL " : "ERROR ") line
    if (priority <= 3) return priority < 3 ? 2 : 1
  }
  if (line ~ /^[ \t]*\{\047/) gsub(/\047/, "\"", line)
  if (line ~ /^[ \t]*\{/) {
    # most documents with "error": null end here
    if (tolower(line) !~ /: *"(critical|crit|fatal|panic|emerg|emergency|alert|error|err|severe|erreur|grave|[ef]|[0-9]+)"|(level|no|severity|number|value|priority)" *: *([0-3]|1[7-9]|2[0-4]|[45]0|60|[4-6][0-9][0-9]|[45]0000)[^0-9]|"log" *: *"/) return 0
    return of_json(line)
  }
  if (index(line, "=") && (class = of_logfmt(line)) >= 0) return class
  if (line ~ /^[EF][01][0-9][0-3][0-9] [0-9][0-9]:[0-9:.]+ +[0-9]+ [^ ]+:[0-9]+\]/) {  # klog
    shown = (line ~ /^F/ ? "FATAL " : "ERROR ") substr(line, index(line, "]") + 2)
    return line ~ /^F/ ? 2 : 1
  }
  # Redis has one level for notices of weight and errors alike: there its words decide.
  if (match(line, /^([0-9]+:[A-Z]|\[[0-9]+\]) [0-9]+ [A-Z][a-z][a-z] [0-9 ]*[0-9:.]+ [.*#-] /)) {
    message = substr(line, RLENGTH + 1)
    shown = "ERROR " message
    if (substr(line, RLENGTH - 1, 1) != "#") return 0
    if (message ~ /^(=== REDIS BUG|Fatal|Guru)/) return 2
    return message ~ /^(Error|Failed|Can.t|Cannot|Unable|Could not)|No space left|Cannot allocate|MISCONF|[Oo]ut [Oo]f [Mm]emory/ ? 1 : 0
  }
  if (line ~ /^[0-9-]+ [0-9:.]+ [A-Z0-9:+-]+,"?/ && match(line, /,(ERROR|FATAL|PANIC|ERREUR|LOG|WARNING|NOTICE|INFO|DEBUG[1-5]?),[0-9A-Z]+,/)) {  # csvlog
    shown = substr(line, RSTART + 1)
    message = shown
    sub(/,.*/, "", message)
    return class_of(message)
  }
  return of_header(line)
}
