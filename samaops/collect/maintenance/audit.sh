# Have lynis look at a server, into a directory of its own, and print its report; that directory goes again.
# Arguments: a token that starts each section; the seconds it may take.
token=$1 seconds=$2

look() {
  section now
  date +%s
  section lynis
  PATH=$PATH:/usr/sbin:/usr/local/sbin
  command -v lynis || { echo 'lynis: not found' >&2; echo 'exit 127'; return; }
  # It refuses a report that is a link, which in a directory of everybody anybody could lay.
  place=$(as_root mktemp -d /var/tmp/samaops-audit.XXXXXX) || { echo 'exit 1'; return; }
  trap 'as_root rm -rf -- "$place"' EXIT
  as_root nice -n 10 timeout -k 5 "$seconds" lynis audit system --cronjob --quiet --no-colors \
    --logfile "$place/log" --report-file "$place/report" >/dev/null
  echo "exit $?"
  section report
  as_root grep -aE '^(warning\[\]|suggestion\[\]|hardening_index|lynis_version|lynis_tests_done|report_datetime_end|finish)=' "$place/report"
  echo 'exit 0'
}

look "$@" </dev/null
