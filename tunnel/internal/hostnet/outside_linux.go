package hostnet

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dnsPort is that of DNS: RFC 1035 §4.2.
const dnsPort = 53

// resolvedConf is where systemd-resolved lists the servers that it asks, while
// resolv.conf names itself alone (systemd-resolved.service(8)).
const resolvedConf = "/run/systemd/resolve/resolv.conf"

func nameservers() []netip.AddrPort { return readServers(resolvConf, resolvedConf) }

// readServers returns the servers of the first file that has some beside those
// of the host itself, else those.
func readServers(files ...string) (servers []netip.AddrPort) {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		all := serversIn(string(text))
		others := slices.DeleteFunc(slices.Clone(all), func(s netip.AddrPort) bool { return s.Addr().IsLoopback() })
		if len(others) > 0 {
			return others
		}
		if servers == nil {
			servers = all
		}
	}
	return servers
}

// serversIn returns the servers of a resolv.conf(5).
func serversIn(text string) (servers []netip.AddrPort) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, dnsPort))
		}
	}
	return servers
}

func markSocket(c syscall.RawConn, mark uint32) error {
	if mark == 0 {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) })
	return os.NewSyscallError("setsockopt SO_MARK", errors.Join(err, failed))
}
