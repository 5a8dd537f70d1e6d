#!/bin/bash
# Runs in the machine of systemd.sh, started by systemd: tstun@wg0 with a peer of
# the kernel's own WireGuard in a namespace. Each line begins with ok or FAIL;
# the last is RESULT and the number of failures.
exec </dev/null >/dev/ttyS0 2>&1
export SYSTEMD_COLORS=0 SYSTEMD_PAGER='' LC_ALL=C
unit=tstun@wg0 rule=/etc/polkit-1/rules.d/50-tstun.rules policy=/etc/tstun/wg0/policy.hujson failed=0

check() { # WHAT COMMAND...
	local what=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "ok $what"
	else
		failed=$((failed + 1))
		printf 'FAIL %s\n%s\n' "$what" "$out"
	fi
}
fails() { ! "$@"; }
far() { ip netns exec far "$@"; }
has() { # TEXT COMMAND...
	local text=$1 out
	shift
	out=$("$@" 2>&1)
	[[ $out == *"$text"* ]] || { echo "no \"$text\" in: $out"; return 1; }
}
show() { systemctl show -P "$1" $unit; }
is_active() { [ "$(systemctl is-active $unit)" = active ] || { systemctl status $unit; return 1; }; }
said() { journalctl -u $unit -o cat "$@"; }
status() { cat "/proc/$(show MainPID)/status"; }
from_far() { far ping -c 1 -W 2 10.7.0.1; }

# network is all that a tunnel changes.
network() {
	ip -o link; ip -o addr; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all
	nft list ruleset; cat /proc/sys/net/ipv4/conf/all/src_valid_mark
	resolvectl dns; resolvectl domain; ls /run/tstun /run/wireguard
}
as_before() { diff <(echo "$before") <(network); }

# other waits until the unit is active again in another process.
other() { # PID
	local i pid
	for i in {1..100}; do
		pid=$(show MainPID)
		[ "$pid" != 0 ] && [ "$pid" != "$1" ] && is_active >/dev/null && return
		sleep 1
	done
	systemctl status $unit
	return 1
}

lab() {
	modprobe wireguard && ip netns add far &&
		ip link add eth0 type veth peer name eth0 netns far &&
		ip addr add 192.0.2.1/24 dev eth0 && ip link set eth0 up && ip route add default via 192.0.2.2 &&
		ip -n far addr add 192.0.2.2/24 dev eth0 && ip -n far link set eth0 up && ip -n far link set lo up &&
		ip -n far link add wg0 type wireguard && far wg setconf wg0 /etc/far.conf &&
		ip -n far addr add 10.7.0.2/24 dev wg0 && ip -n far link set wg0 up &&
		far dnsmasq --no-resolv --no-hosts --address=/name.corp.example/10.7.0.99 --listen-address=10.7.0.2 --bind-interfaces --user=root &&
		mkdir -p /run/tstun /run/wireguard && modprobe nf_tables
}

check 'the lab is there' lab
check 'systemd-resolved runs' systemctl start systemd-resolved polkit
sleep 2 # for IPv6's duplicate address detection
before=$(network)

check 'start' systemctl start $unit
check 'is active' is_active
check 'tells what it is' has 'wg0 in kernel mode' show StatusText
check 'is no root' has $'Uid:\t'"$(id -u tstun)" status
check 'has CAP_NET_ADMIN alone' has $'CapEff:\t0000000000001000' status
check 'is confined' has 'confined: capabilities net_admin, landlock' said
check 'ping' ping -c 1 -W 5 10.7.0.2
check 'ping of the far end' from_far
check 'a full tunnel' has 'tstun-wg0' nft list ruleset
check 'src_valid_mark is set' has 1 cat /proc/sys/net/ipv4/conf/all/src_valid_mark
check 'resolved knows the server' has 10.7.0.2 resolvectl dns wg0
check 'and the domains' has 'corp.example ~.' resolvectl domain wg0
check 'a name by the tunnel' has 10.7.0.99 resolvectl query name.corp.example
check 'and by the search domain' has 10.7.0.99 getent ahostsv4 name
check 'wg show' has 'latest handshake' wg show wg0
check 'no warning' fails has 'WARN' said

sed -i.old 's/"icmp"/"igmp"/' $policy
check 'reload' systemctl reload $unit
check 'another policy is in force' fails from_far
check 'is active after a reload' is_active
echo '{' >$policy
check 'reload of a wrong policy' systemctl reload $unit
check 'which status tells' has 'refused' show StatusText
mv $policy.old $policy
sleep 2
check 'a policy without reload' from_far

pid=$(show MainPID)
kill -STOP "$pid"
check 'the watchdog starts a process that hangs again' other "$pid"
check 'by its own hand' has 'Watchdog timeout' said
check 'ping after the watchdog' ping -c 1 -W 5 10.7.0.2
pid=$(show MainPID)
kill -KILL "$pid"
check 'a killed process is started again' other "$pid"
check 'twice' has 2 show NRestarts
check 'ping after the kill' ping -c 1 -W 5 10.7.0.2
check 'one set of rules' test "$(ip rule | grep -c 'lookup main suppress')" = 1

check 'stop' systemctl stop $unit
check 'nothing is left' as_before

mv $rule /root/
sleep 2 # polkit watches
check 'start without the rule of polkit' systemctl start $unit
check 'says that DNS is not in use' has 'DNS settings are not in use' said
check 'and why' has 'nteractive authentication' said
check 'stop without the rule' systemctl stop $unit
check 'nothing is left of that' as_before

[ $failed = 0 ] || said | tail -n 60
systemd-analyze security $unit | tail -n 1
echo "RESULT $failed after $(cut -d. -f1 /proc/uptime)s"
busybox poweroff -f
