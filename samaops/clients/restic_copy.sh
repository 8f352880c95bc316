# Bring backups into a repository of restic. Standard input: the password, which stands nowhere else.
# Arguments: what to do, the repository, how rclone reaches it ("": restic reaches it itself), the words of that.
# Standard output: what restic says, in JSON; then a marked line with its exit code.
what=$1 repository=$2 program=$3
shift 3
umask 077
LC_ALL=C
export LC_ALL
command -v restic >/dev/null 2>&1 || { echo 'samaops-restic: cannot restic: not found'; exit 0; }
IFS= read -r RESTIC_PASSWORD
export RESTIC_PASSWORD
run() {
  if [ -n "$program" ]; then
    nice -n 10 restic -r "$repository" -o "rclone.program=$program" "$@" 2>&1 </dev/null
  else
    nice -n 10 restic -r "$repository" "$@" 2>&1 </dev/null
  fi
  printf 'samaops-restic: ended %s\n' $?
}
case $what in
  probe) run cat config --json ;;
  init) run init --json ;;
  backup)
    tag=$1 host=$2
    shift 2
    run backup --json --tag samaops --tag "$tag" --host "$host" -- "$@" ;;
  snapshots) run snapshots --json --tag "$1" ;;
  check) run check --read-data-subset "$1" ;;
esac
