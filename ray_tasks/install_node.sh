#!/usr/bin/env bash
# Sets up a node of a Ray cluster, as root, from a checkout in /opt/trivium.
# usage: install_node.sh head|worker SECRET_ID
# /etc/trivium/node.env says what the node belongs to (ray_tasks/cluster.yaml writes it).
set -euo pipefail
if [[ $# -ne 2 || ($1 != head && $1 != worker) ]]; then
    echo "usage: install_node.sh head|worker SECRET_ID" >&2
    exit 2
fi
kind=$1 secret=$2
home=/opt/trivium state=/var/lib/trivium

dnf install --quiet --assumeyes python3-pip
python3 -m pip install --quiet --require-hashes --target "$home/uv" --requirement "$home/requirements/uv.txt"
export UV_PYTHON_INSTALL_DIR=$home/python
"$home/uv/bin/uv" venv --quiet --python "$(cat "$home/.python-version")" "$home/.venv"
"$home/uv/bin/uv" pip sync --quiet --compile-bytecode --require-hashes --python "$home/.venv/bin/python" \
    "$home/requirements/project.txt"

useradd --system --home-dir "$state" --create-home trivium
# /tmp lies in memory here; tasks and Ray's logs go to the disk.
install -d -o trivium -g trivium "$state/tmp" "$state/work"

metadata=http://169.254.169.254/latest
session=$(curl --silent --fail --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/api/token")
instance=$(curl --silent --fail --header "X-aws-ec2-metadata-token: $session" "$metadata/meta-data/instance-id")
token=$(aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text)
cat >>/etc/trivium/node.env <<SETTINGS
HOME=$state
TMPDIR=$state/tmp
PATH=$home/.venv/bin:/usr/local/bin:/usr/bin:/bin
PYTHONPATH=$home
OMP_NUM_THREADS=1
RAY_AUTH_MODE=token
RAY_CLOUD_INSTANCE_ID=$instance
RAY_USAGE_STATS_ENABLED=0
RAY_enable_autoscaler_v2=1
SETTINGS
install -m 600 /dev/null /etc/trivium/token.env
echo "RAY_AUTH_TOKEN=$token" >/etc/trivium/token.env

units=("trivium-ray-$kind.service")
if [[ $kind == head ]]; then
    units+=(trivium-ray-agent.service)
    set -a
    # shellcheck source=/dev/null
    . /etc/trivium/node.env
    set +a
    python -m ray_tasks.autoscaling >/etc/trivium/autoscaler.yaml
fi
for unit in "${units[@]}"; do
    install -m 644 "$home/ray_tasks/$unit" "/etc/systemd/system/$unit"
done
systemctl daemon-reload
systemctl enable --now "${units[@]}"
