# Do one piece of work after the other for somebody who is elsewhere, as long as he is there: when he is gone, so is the work.
# Arguments: after how many seconds without a word from him he is taken for gone, and a directory that is locked
# (flock) as long as we or our work live; nothing is locked where it is empty.
# Standard input: "do WORK PROGRESS" (scripts in base64; "-": none), "look", "stop", or any other line, which only says that
# he is there. Standard output: one marked line for each.
umask 077
silence=$1 held=$2 work='' progress=-
say() { printf 'samaops-job: %s\n' "$*"; }
for program in base64 setsid timeout flock mktemp; do
  command -v "$program" >/dev/null 2>&1 || { say "cannot $program: not found"; exit 0; }
done
place=$(mktemp -d) || { say 'cannot mktemp'; exit 0; }
end_work() {
  [ -n "$work" ] || return 0
  kill -TERM "-$work" 2>/dev/null
  tries=100
  while kill -0 "-$work" 2>/dev/null && [ "$tries" -gt 0 ]; do
    tries=$((tries - 1))
    sleep 0.1
  done
  kill -KILL "-$work" 2>/dev/null
  wait
}
leave() { trap '' HUP INT TERM; end_work; rm -rf "$place"; exit 0; }
trap leave HUP INT TERM
if [ -n "$held" ]; then
  { exec 9<"$held"; } 2>/dev/null || { say "cannot $held: not there"; leave; }
  flock -w 5 9 || { say "cannot $held: another run has it"; leave; }
fi
ended() {
  say "ended $(cat "$place/code") $(head -c 200000 "$place/out" | base64 -w 0)- $(tail -c 4000 "$place/errors" | base64 -w 0)-"
  work=''
}
say ready
while line=$(timeout "$silence" sh -c 'IFS= read -r line && printf %s "$line"' 9<&-); do
  case $line in
    'do '*)
      [ -z "$work" ] || { say busy; continue; }
      words=${line#do } progress=${line##* }
      printf %s "${words%% *}" | base64 -d >"$place/work"
      rm -f "$place/code" "$place/pid"
      # In a session of its own, so that all of it can be ended; its number is waited for outside of it.
      {
        setsid sh "$place/work" >"$place/out" 2>"$place/errors" &
        echo $! >"$place/pid.new"
        mv "$place/pid.new" "$place/pid"
        wait $!
        echo $? >"$place/code.new"
        mv "$place/code.new" "$place/code"
      } </dev/null >/dev/null 2>&1 &
      until [ -s "$place/pid" ]; do sleep 0.01; done
      work=$(cat "$place/pid")
      say started ;;
    look)
      if [ -z "$work" ]; then say nothing
      elif [ -e "$place/code" ]; then ended
      elif [ "$progress" = - ]; then say running
      else say "running $(printf %s "$progress" | base64 -d | timeout 10 sh 9<&- 2>/dev/null | head -c 4000 | tr '\n' ' ')"
      fi ;;
    stop)
      end_work
      [ -e "$place/code" ] || echo 143 >"$place/code"
      if [ -n "$work" ]; then ended; else say nothing; fi ;;
    *) say here ;;
  esac
done
leave
