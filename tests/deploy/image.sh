#!/usr/bin/env bash
# Builds the image with buildah, from a base that debootstrap makes where there is none to pull,
# and runs it as it is meant to be run: not root, nothing writable but /tmp.
#
#     tests/deploy/image.sh [FOLDER]     what is made stays in FOLDER, by default a temporary one
#
# Needs root, and Debian's packages buildah and debootstrap. Takes minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${1:-$(mktemp -d)}
mkdir -p "$work"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }
say() { echo "== $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

base=${BASE:-}
if [ -z "$base" ]; then
    base=localhost/base
    if [ ! -e "$work/base/usr/bin/python3" ]; then
        say "making a base with debootstrap"
        debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm \
            "$work/base" "${MIRROR:-http://deb.debian.org/debian}" > "$work/debootstrap.log"
    fi
    # As the official slim image: no lists, no caches, no documentation.
    rm -rf "$work"/base/var/cache/apt/* "$work"/base/var/lib/apt/lists/* "$work"/base/usr/share/doc/*
    empty=$(buildah from scratch)
    buildah add --quiet "$empty" "$work/base" / > /dev/null
    buildah commit --quiet --rm "$empty" "$base" > /dev/null
fi

say "building"
# The build reaches the package index as this machine does.
buildah bud --quiet --volume /etc/ssl/certs:/etc/ssl/certs:ro --env "PIP_CERT=${PIP_CERT:-}" \
    --build-arg "BASE=$base" --file deploy/Dockerfile --tag jitney . > "$work/build.log" 2>&1 \
    || { tail -30 "$work/build.log" >&2; fail "it does not build"; }

container=$(buildah from --pull-never jitney)
root=$(buildah mount "$container")
own=$(du -sm "$root/opt/jitney" "$root/models" | awk '{sum += $1} END {print sum}')
all=$(du -sm --one-file-system "$root" | cut -f1)
# What is ours goes on whatever base there is; that of the official slim image has 125 MB.
official=$((own + 125))
say "size: $all MB, of which the base is $((all - own)) and ours $own: $official on the official one"
[ "$official" -lt 300 ] || fail "it is larger than 300 MB"
config=$(buildah inspect --type image jitney)
user=$(python3 -c 'import json,sys; print(json.load(sys.stdin)["OCIv1"]["config"]["User"])' <<< "$config")
[ "$user" = 10001:10001 ] || fail "it runs as $user"
for extra in grpc tokenizers watchfiles; do
    find "$root/opt/jitney" -type d -name "$extra" | grep -q . || fail "$extra is not in it"
done
find "$root/opt/jitney" -name 'pip' -type d | grep -q . && fail "pip is in it"

say "running it: not root, root read-only"
port=${PORT:-18431}
unshare --mount --pid --fork --kill-child bash -euc '
    mount --bind "$1" "$1"
    mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/tmp"
    mount -o remount,bind,ro "$1"
    exec chroot --userspec=10001:10001 --groups= "$1" /usr/bin/env -i \
        PATH=/opt/jitney/bin:/usr/bin ORT_DISABLE_TELEMETRY=1 PYTHONDONTWRITEBYTECODE=1 \
        jitney serve --host 0.0.0.0 --port "$2" /models
' run "$root" "$port" > "$work/server.log" 2>&1 &
server=$!
# While it waits for its child, unshare lets SIGTERM pass; and a child of another user outlives it.
trap 'kill -KILL $(< /proc/$server/task/$server/children) 2> /dev/null || true' EXIT
for _ in $(seq 300); do
    grep -q "^Ready in" "$work/server.log" && break
    kill -0 $server 2> /dev/null || { cat "$work/server.log" >&2; fail "it has ended"; }
    sleep 0.2
done
head -2 "$work/server.log"
check=$(python3 -c 'import json,sys; print(json.load(sys.stdin)["Docker"]["config"]["Healthcheck"]["Test"][-1])' <<< "$config")
python3 -I -c "${check//127.0.0.1:8000/127.0.0.1:$port}" || fail "its health check fails"
command=$(sed -n 's/^  \(curl .*\)$/\1/p' "$work/server.log" | head -1)
eval "$command" | grep -q '"outputs"' || fail "a request is not answered"
say "1 passed, 0 failed"
