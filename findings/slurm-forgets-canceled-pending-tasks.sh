#!/usr/bin/env bash
# When a pending task of a job array is canceled, Slurm deletes the task from its records.
#
# Expected: `squeue --states=all` lists a job until `MinJobAge` seconds after its end. If one pending task of a job array is
#   canceled (`scancel 71_2`), this task is listed as CANCELLED for that time, as a canceled running task is.
# What happens: the task is not listed any more. `squeue --states=all -r` leaves it out, and `scontrol show job 71_2` says
#   "not found". After the last pending task is canceled in this way, a single line "71 CANCELLED" stands for all of them. This
#   line looks like a job without an array, and names no task. If the array is canceled as a whole (`scancel 71`), every task
#   keeps its line.
# What to do: record which tasks are canceled before calling `scancel`, or use `sacct` on a cluster with accounting. A task
#   that `squeue` does not list may have been canceled, so do not submit it again for that reason alone.
# Why it matters: a program that submits a grid of training runs, and submits again what `squeue` does not list, trains the
#   canceled runs to their end.
# Versions: Slurm 22.05.8 (package slurm-wlm of Debian 12, installed by apt-get if it is missing). Needs root: the script
#   starts a Slurm of one node for half a minute.
set -eu

fail() { echo "NOT AS DESCRIBED: $*"; exit 1; }
[ "$(id -u)" = 0 ] || { echo "This starts a Slurm of one node, and needs root for it."; exit 3; }
for program in munged slurmctld slurmd; do
    command -v "$program" > /dev/null || apt-get install -y -qq --no-install-recommends munge slurm-wlm > /dev/null
done
# Slurm's commands read their configuration from /etc/slurm. The lock prevents two scripts from using it at the same time.
exec 9< /etc/slurm
flock -n 9 && [ ! -e /etc/slurm/slurm.conf ] || { echo "This machine has a Slurm already."; exit 3; }

folder=$(mktemp -d)
stop() {
    scancel -u root 2> /dev/null || true
    scontrol shutdown 2> /dev/null || true
    sleep 3
    for name in slurmd slurmctld munged; do
        [ ! -s "$folder/$name.pid" ] || kill "$(cat "$folder/$name.pid")" 2> /dev/null || true
    done
    rm -f /etc/slurm/slurm.conf
    rm -rf "$folder"
}
trap stop EXIT
mkdir "$folder/state" "$folder/spool"
(umask 077 && head -c 128 /dev/urandom > "$folder/key")
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=example
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdPidFile=$folder/slurmd.pid
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MinJobAge=600
SlurmdParameters=config_overrides
NodeName=localhost NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=16818 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=localhost Default=YES MaxTime=10 DefaultTime=5 State=UP
CONF
munged --force --socket="$folder/munge.socket" --key-file="$folder/key" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/seed" 9<&-
slurmctld -i 9<&-
slurmd -N localhost 9<&-
for _ in 1 2 3 4 5 6 7 8 9 10; do
    timeout 5 srun -Q -n1 -t1 --immediate=2 true 2> /dev/null && break
done
version=$(sinfo --version)
echo "$version"
[ "$version" = "slurm-wlm 22.05.8" ] || fail "this is about slurm-wlm 22.05.8"

cd "$folder"
printf '#!/bin/sh\nexec sleep 300\n' > run.sh
list() { squeue --states=all -r -h -j "$job" -o '%i %T' | sed "s/^$job/N/" | sort | paste -sd, ; }
expect() {  # $1: what was done; $2: the tasks and states that squeue must list within 30 seconds
    for _ in $(seq 60); do
        if [ "$(list)" = "$2" ]; then
            printf '%-32s%s\n' "$1" "$2"
            return
        fi
        sleep 0.5
    done
    fail "$1: $(list)"
}
submit() { sbatch --parsable --array=0-3%1 --output=/dev/null run.sh; }

job=$(submit)
expect "an array, one task at a time" "N_0 RUNNING,N_1 PENDING,N_2 PENDING,N_3 PENDING"
scancel "${job}_2"
expect "scancel N_2, which is pending" "N_0 RUNNING,N_1 PENDING,N_3 PENDING"
shown=$(scontrol show job "${job}_2" 2>&1) && fail "scontrol still finds the task: $shown"
printf '%-32s%s\n' "scontrol show job N_2" "$shown"
scancel "${job}_1" "${job}_3"
expect "scancel N_1 N_3" "N CANCELLED,N_0 RUNNING"
scancel "${job}_0"
expect "scancel N_0, which is running" "N CANCELLED,N_0 CANCELLED"

job=$(submit)
expect "a second array" "N_0 RUNNING,N_1 PENDING,N_2 PENDING,N_3 PENDING"
scancel "$job"
expect "scancel N, the whole array" "N_0 CANCELLED,N_1 CANCELLED,N_2 CANCELLED,N_3 CANCELLED"
echo "As described: a pending task that is canceled by its number leaves no record."
