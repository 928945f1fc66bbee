#!/bin/sh
# The pod network of a kind cluster. All nodes are on one bridge, so a node's own pods get addresses from its podCIDR,
# the pods of another node are reached by way of that node's address, and what leaves the pod network is masqueraded.
set -u
config=/etc/cni/net.d/10-podnet.conflist
path='{range .items[*]}{.metadata.name}{" "}{.spec.podCIDR}{" "}{.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'

configure() { # CIDR
	[ ! -f "$config" ] || return 0
	cat >"$config.new" <<-JSON
	{"cniVersion": "0.4.0", "name": "podnet", "plugins": [
	  {"type": "ptp", "ipMasq": false, "mtu": 1500,
	   "ipam": {"type": "host-local", "dataDir": "/run/podnet", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "$1"}]]}},
	  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	JSON
	mv "$config.new" "$config"
	echo "pods of this node have addresses in $1"
}

masquerade() { # CIDR
	set -- POSTROUTING -s "$1" ! -d "$POD_SUBNET" -j MASQUERADE
	iptables -w -t nat -C "$@" 2>/dev/null || iptables -w -t nat -A "$@"
}

while :; do
	# A node that has no podCIDR yet gives a line of two words.
	kubectl get nodes -o "jsonpath=$path" | while read -r name cidr address; do
		if [ -z "$address" ]; then
			continue
		elif [ "$name" = "$NODE_NAME" ]; then
			configure "$cidr"
			masquerade "$cidr"
		else
			ip route replace "$cidr" via "$address"
		fi
	done
	sleep 3
done
