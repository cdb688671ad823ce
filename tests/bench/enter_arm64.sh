#!/bin/sh
# enter_arm64.sh ROOT CPUINFO COMMAND...: run COMMAND where ROOT looks like a running ARM64 machine. Meant for `unshare --mount`:
# every mount vanishes with the namespace. COMMAND runs on the host and enters ROOT itself (chroot, or sshd's ChrootDirectory).
set -e
root=$1 cpuinfo=$2
shift 2
mount --make-rprivate /
# Nothing may be written into the cached userland: a layer of memory lies over it.
layer=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$layer"
mkdir "$layer/upper" "$layer/work"
mount -t overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" overlay "$root"
mkdir -p "$root/proc" "$root/sys/devices/system/cpu" "$root/dev" "$root/tmp" "$root/full" "$root/data/local/tmp" "$root/system/bin" "$root/usr/local/bin"
chmod 1777 "$root/tmp" "$root/data/local/tmp"
mount -t proc proc "$root/proc"
mount --bind "$cpuinfo" "$root/proc/cpuinfo"
echo 0-3 > "$root/sys/devices/system/cpu/possible"
echo 0-3 > "$root/sys/devices/system/cpu/present"
mount --bind /dev "$root/dev"
mount -t tmpfs -o size=48k tmpfs "$root/full"
printf '#!/bin/sh\nexec /usr/bin/python3.11 -S "$@"\n' > "$root/usr/local/bin/bare-python"
ln -sf /usr/bin/python3.11 "$root/usr/local/bin/python3"
chmod 755 "$root/usr/local/bin/bare-python"
# Android's own names, in front of Debian's mksh and toybox
ln -sf /bin/mksh "$root/system/bin/sh"
cat > "$root/system/bin/getprop" <<'EOF'
#!/bin/sh
case $1 in
  ro.product.model) echo "Stand-in Watch" ;;
  ro.product.manufacturer) echo "edgekit" ;;
  ro.product.cpu.abi) echo "arm64-v8a" ;;
  ro.build.version.release) echo "14" ;;
  ro.build.version.sdk) echo "34" ;;
esac
EOF
cat > "$root/system/bin/dumpsys" <<'EOF'
#!/bin/sh
case $1 in
  thermalservice) echo "IsStatusOverride: false"; echo "Thermal Status: 0" ;;
  battery) echo "  level: 83" ;;
esac
EOF
chmod 755 "$root/system/bin/getprop" "$root/system/bin/dumpsys"
exec "$@"
