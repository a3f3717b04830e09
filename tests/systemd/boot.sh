#!/bin/sh
# Boots systemd as the first process of a machine that is a throw-away copy of this one: boot.sh NAME PATH...
#
# Run in a mount namespace of its own: nothing of it is left when it ends. PATHs are shown inside, read only: a temporary
# directory of this machine is another one in there.
set -eu
name=$1
shift

here=$(mktemp -d)
mount -t tmpfs -o mode=0755 tmpfs "$here"
mkdir "$here/upper" "$here/work" "$here/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$here/upper,workdir=$here/work" "$here/root"
root=$here/root

# Its own identity, so that no journal is taken for ours, and nothing to do but what the tests ask for.
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
rm -rf "$root/var/log/journal" "$root/etc/tallystick" "$root/etc/systemd/system/"*.wants \
    "$root/etc/systemd/system/tallystick"* "$root/etc/systemd/user/tallystick"*

# A user whose manager runs without a session; one path of the interpreter may lead through a closed home.
mkdir -p "$root/var/lib/systemd/linger"
touch "$root/var/lib/systemd/linger/ann"
chroot "$root" useradd --create-home --uid 4242 --shell /bin/sh ann
binds=
for path in "$@"; do
    binds="$binds --bind-ro=$path"
    way=$path
    while [ "$way" != / ]; do
        [ ! -d "$root$way" ] || chmod o+x "$root$way"
        way=$(dirname "$way")
    done
done

export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
# shellcheck disable=SC2086 # paths without blanks, one word each
exec systemd-nspawn --directory="$root" --boot --register=no --keep-unit --private-network --machine="$name" \
    --console=pipe --link-journal=no $binds
