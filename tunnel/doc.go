// Package tunnel is the engine of a WireGuard tunnel: it owns the device, the
// Wrapper with its filter, wireguard-go and the host's network, from Start to
// Close, which undoes all of it.
//
//	t, err := tunnel.Start(ctx, config)
//	if err != nil {
//		return err
//	}
//	defer t.Close()
//	conn, err := t.DialContext(ctx, "tcp", "web.internal:80")
//
// Package wgquick makes a Config of wg-quick's file. Of a Config that a program
// makes itself, Start refuses by name and position what cannot be.
//
// # Modes
//
// In ModeKernel the packets are the operating system's: Start makes a TUN device
// and sets addresses, routes and DNS as wg-quick does, on Linux, and wg(8) sees
// the device. In ModeUserspace
// they are those of a network stack in the program, which only DialContext,
// Listen and ListenPacket use. ModeAuto takes the first that can be had;
// Status says which and why.
//
// # Policy
//
// With a policy file the filter allows what it says. Its directory is watched,
// and ReloadPolicy reads it on demand, such as at SIGHUP. A file that is bad, or
// whose tests do not hold, changes nothing but Status and a line in the log.
// Without a file, all that the peers' allowed IPs admit is accepted.
//
// # Reload
//
// Reload puts another Config in force and touches no peer that does not change:
// sessions, counters and IDs of the others go on. What is absent goes; the UDP
// port and the private key alone stay. Each change is a line in the log, and if
// a step fails, what was in force comes back. What wg(8) sets through the socket
// of a tunnel in kernel mode is followed by names, the Wrapper's peers, routes
// and the mark, and the next Reload takes it back and says so.
//
// # Endpoints
//
// Names of endpoints are looked up before the tunnel is up, by the host's
// resolver; one that is not found fails Start. A name is looked up again when
// there is something to send and the last handshake is older than 135 s, after
// 30 s once more, and then after twice as long each time, up to 10 minutes. In
// kernel mode /etc/hosts is looked at first, and then the servers are asked that
// the host had before the tunnel: those of resolv.conf, or of systemd-resolved
// if it stands behind it. The questions bear the tunnel's mark, so that a full
// tunnel does not take them. A server on the host itself, such as dnsmasq, is
// asked where there is no other; what it asks goes as the host's routes say.
//
// # Hooks
//
// Hooks are run by bash in the order of wg-quick(8): PreUp before anything,
// PostUp when the tunnel is up, PreDown before anything is undone, PostDown when
// all is. One of PreUp or PostUp that fails, fails Start, and no further hook
// runs; one of the others is in Close's error. They run in either mode, and what
// they write goes to the log. A command is in no process's arguments.
//
// # Codes of findings
//
// Diagnose has them of a tunnel, Explain of one flow. At StepRules Explain has the
// names of filter.Reason, too.
//
//	allowed-ips-overlap   another interface has addresses that a peer is allowed, too
//	clock-set-back        a peer's handshakes are older than its last
//	disallowed-source     a peer sends from what is not in its AllowedIPs
//	dns-outside           the host asks for names around the tunnel
//	dns-unreachable       no peer has the DNS server
//	drops-REASON          more packets are dropped for a filter.Reason than pass
//	endpoint-moved        the endpoint's name has another address by now
//	endpoint-name         the endpoint's name has no address
//	endpoint-refused      nothing listens on the endpoint's port
//	endpoint-unreachable  packets to the endpoint do not leave this host
//	fwmark                the tunnel's own packets lack their mark
//	mtu                   the tunnel's longest packet does not fit the way to the endpoint
//	no-endpoint           the peer is not up, and where it is is not known
//	no-handshake          the peer does not answer
//	peer-silent           the peer was up, and does not answer any more
//	no-peer               no peer has the address in its AllowedIPs
//	no-route              the host has no route to the address
//	nobody-listens        no program of the host's listens where the flow goes
//	other-route           the host sends what is for the address elsewhere
//	own-address           the address is the host's own
//	policy-refused        the policy file is wrong
//	preshared-key         the peer's answer cannot be read
//	unanswered            answers to the host's own flow do not come in
//	unknown-peer          a handshake came from a key that is no peer's
//	warning               one of Status's warnings
//	wrong-own-key         a peer has another public key for this side
package tunnel
