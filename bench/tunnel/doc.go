// Package tunnel compares whole WireGuard tunnels: two network namespaces, a
// pair of Ethernet interfaces between them, and in each a process with
// wireguard-go on a TUN. It needs Linux and root.
package tunnel

import (
	"errors"
	"slices"
	"time"
)

// Who is compared.
const (
	Bare      = "bare"      // wireguard-go with a TUN of its own
	Tstun     = "tstun"     // wireguard-go with a TUN of tstun.New's, wrapped, and bind.New
	Alone     = "wrapper"   // the same with wireguard-go's own bind
	Tailscale = "tailscale" // Tailscale's wireguard-go with a TUN of its own, wrapped

	// Of the command alone, as Program has it.
	Up        = "tstun up"     // in kernel mode
	Userspace = "userspace"    // tstun up in userspace mode, with a SOCKS5 server
	Copying   = "wireguard-go" // a SOCKS5 server on wireguard-go's network stack that copies with io.Copy, as wireproxy does
)

// Kinds returns who is compared by default, in the order of the first round.
func Kinds() []string { return []string{Bare, Tstun, Alone, Tailscale} }

// The measures by the names that Config.Only knows.
const (
	TCP    = "tcp"    // one stream
	TCP64  = "tcp64"  // 64 streams at once
	VXLAN  = "vxlan"  // one stream of TCP in VXLAN in the tunnel, whose datagrams have a checksum or none
	IperfU = "iperfu" // UDP as iperf3 sends it
	UDP    = "udp"    // at full rate, packets of several lengths
	Rates  = "rates"  // UDP at fixed rates
	Ping   = "ping"   // round trips, one at a time
	Lone   = "lone"   // round trips, one every few milliseconds
	Inject = "inject" // packets that a program injects into its Wrapper
)

// Measures returns the names of all measures in the order they are made in.
func Measures() []string { return []string{Ping, Lone, TCP, TCP64, VXLAN, IperfU, UDP, Rates, Inject} }

// ErrNeedsRoot and ErrNeedsIperf say what is missing on this machine.
var (
	ErrNeedsRoot  = errors.New("tunnels need root, for namespaces and TUNs")
	ErrNeedsIperf = errors.New("iperf3 is not installed")
)

// Config says how to compare.
type Config struct {
	Rounds int           // of all measures with every kind
	Time   time.Duration // of each transfer of TCP, rounded up to seconds; of UDP, a third
	Only   []string      // measures; empty: all
	Kinds  []string      // who is compared; empty: Kinds()
	Sizes  []int         // bytes of UDP payload at full rate
	Rates  []int         // packets per second offered
	Pings  int           // per round; of those of Lone that are far apart, fewer
	MTU    int           // of the tunnel, in bytes
	Self   []string      // command line that runs Agent on stdin and stdout
	// Program is the file name of tstun, which Up and Userspace run.
	Program string
	Logf    func(format string, args ...any)
}

func (c Config) kinds() []string {
	if len(c.Kinds) == 0 {
		return Kinds()
	}
	return c.Kinds
}

func (c Config) wants(measure string) bool {
	return len(c.Only) == 0 || slices.Contains(c.Only, measure)
}
