#!/bin/sh
# gather.sh TARGET - copy the network tools of this system, and every library they need, to a tree of their own.
set -eu
target=$1
mkdir -p "$target"/etc "$target"/run "$target"/tmp
for link in bin sbin lib lib64; do
	mkdir -p "$target/usr/$link"
	ln -s "usr/$link" "$target/$link"
done

take() { # FILE: the file, what a link leads to, and the libraries
	[ ! -e "$target$1" ] || return 0
	mkdir -p "$target$(dirname "$1")"
	cp -L "$1" "$target$1"
	for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
		take "$library"
	done
}

for program in bin/dash bin/sleep bin/cat bin/mv bin/ip sbin/xtables-nft-multi sbin/nft sbin/conntrack; do
	take "/usr/$program"
done
ln -s dash "$target/usr/bin/sh"
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
	ln -s xtables-nft-multi "$target/usr/sbin/$name"
done
# iptables loads its matches by name, and they need libraries of their own: without libm for `statistic`, kube-proxy
# works until a Service has two endpoints, and writes no rule from then on.
for match in /usr/lib/*/xtables/*.so; do
	take "$match"
done
