package tunnel

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tstun"
	"tstun/key"
	"tstun/logger"
	"tstun/netstack"
)

// Config is what a tunnel is started from. What is printed, logged or marshalled
// of it shows no key but public ones, and no hook.
type Config struct {
	// Name is the name of the interface. wgquick.InterfaceName says which
	// there are.
	Name string `json:"name,omitempty"`
	// PrivateKey is the tunnel's own key. Without one there is no handshake.
	PrivateKey key.Private `json:"privateKey,omitzero"`
	// ListenPort is the UDP port, or 0 for one that the system chooses. A
	// reload with 0 leaves the port as it is.
	ListenPort uint16 `json:"listenPort,omitempty"`
	// Addresses are the interface's, each with the length of its network's
	// prefix. Host bits are kept.
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	// DNS are the addresses of name servers.
	DNS []netip.Addr `json:"dns,omitempty"`
	// SearchDomains are what is appended to names that are looked up.
	SearchDomains []string `json:"searchDomains,omitempty"`
	// MTU is the interface's in bytes, or 0 for one that fits the way to the
	// peers.
	MTU int `json:"mtu,omitempty"`
	// Table is where routes to allowed IPs go.
	Table Table `json:"table,omitzero"`
	// FwMark marks the packets that WireGuard sends, or is 0 for no mark.
	FwMark uint32 `json:"fwMark,omitempty"`
	// Hooks are commands to run. They may hold secrets, and are not marshalled.
	// With a PostUp there may be no PrivateKey: it may set one.
	Hooks Hooks `json:"-"`
	// SaveConfig is set if the file asks wg-quick to write the state of the
	// tunnel into it at the end.
	SaveConfig bool `json:"saveConfig,omitempty"`
	// Peers are the peers, no two with the same public key.
	Peers []Peer `json:"peers,omitempty"`

	// What follows is not in wg-quick's files.

	// Mode is where packets go: ModeAuto, if it is empty.
	Mode Mode `json:"mode,omitempty"`
	// Policy is the path of a policy file, which is watched, or empty: then
	// everything that the allowed IPs admit is accepted, unless Setup sets a
	// filter.
	Policy string `json:"policy,omitempty"`
	// PolicyHost says for which host the policy file is read, as
	// policy.ParseFor has it, or is empty.
	PolicyHost string `json:"policyHost,omitempty"`
	// Audit is the path of a second policy file, which is watched, or empty. It drops
	// nothing: each new flow is judged by it too, and Audit tells where it says
	// otherwise than the one in force. It is read for PolicyHost, and needs records of
	// flows.
	Audit string `json:"audit,omitempty"`
	// MSSClamp bounds the segments of all TCP connections through the tunnel.
	MSSClamp MSSClamp `json:"mssClamp,omitzero"`
	// Reject is what a peer hears of a packet that the policy refuses: RejectTSMP, if it
	// is empty. It is of a tunnel for its life: a reload leaves it as it is.
	Reject Reject `json:"reject,omitempty"`
	// StateDir is where the journals lie by which the host's network is put in
	// order after a crash: DefaultStateDir, if it is empty.
	StateDir string `json:"stateDir,omitempty"`
	// RecordMemory is the memory, in bytes, of the records of flows that ended or
	// were refused: flowlog.DefaultMemory, if it is 0. If it is negative, no records
	// are kept of any flow. It is of a tunnel for its life: a reload leaves it as it
	// is.
	RecordMemory int `json:"recordMemory,omitempty"`
	// NoWait has Start return without a handshake with the Required peers. Ready
	// tells when there was one.
	NoWait bool `json:"noWait,omitempty"`
	// Resolver finds the addresses of endpoints. Nil: the host's.
	Resolver netstack.Lookup `json:"-"`
	// Setup, if it is set, is called by Start with the tunnel's Wrapper before a
	// packet meets it: it may set hooks, statistics, refusals and, where there
	// is no Policy, a filter, but flow records and their events only where
	// RecordMemory is negative. Its error is Start's. The Wrapper may be used until
	// Close; its peers and its Close are the tunnel's.
	Setup func(*tstun.Wrapper) error `json:"-"`
	// Logf hears what happens, a line each. Nil: nobody does.
	Logf logger.Logf `json:"-"`

	lookUps pace // of names again
}

// DefaultStateDir is where journals lie by default: /run is emptied by a reboot
// (file-hierarchy(7)), as the kernel's tables are.
const DefaultStateDir = "/run/tstun"

// Mode is where the packets of a tunnel come from and go to.
type Mode string

const (
	// ModeAuto is ModeKernel where a TUN device can be made, else
	// ModeUserspace. The empty Mode means the same.
	ModeAuto Mode = "auto"
	// ModeKernel is a TUN device of the operating system, whose network the
	// tunnel sets up. It takes the right to do so.
	ModeKernel Mode = "kernel"
	// ModeUserspace is a network stack in the program, which takes no right.
	// Only the program itself talks through the tunnel.
	ModeUserspace Mode = "userspace"
)

// Peer is one peer of a tunnel. What is absent in a Config that is reloaded
// goes: its key, endpoint and keepalive too.
type Peer struct {
	// Name is what people call the peer, or empty.
	Name string `json:"name,omitempty"`
	// PublicKey is the peer's key.
	PublicKey key.Public `json:"publicKey"`
	// PresharedKey is a further secret of the two, or the zero value.
	PresharedKey key.Preshared `json:"presharedKey,omitzero"`
	// AllowedIPs are the addresses that the peer may send from and is sent
	// to, without host bits. No two peers have the same prefix.
	AllowedIPs []netip.Prefix `json:"allowedIPs,omitempty"`
	// Endpoint is where the peer is, as host:port, or empty if only the peer
	// knows where we are. The host is an address, in brackets if it is IPv6,
	// or a name to look up.
	Endpoint string `json:"endpoint,omitempty"`
	// Keepalive is how often a packet is sent to keep a NAT's mapping, in
	// seconds, or 0 for never.
	Keepalive uint16 `json:"keepalive,omitempty"`
	// Required says that the tunnel is not ready before a handshake with the
	// peer: Start waits for it, unless NoWait is set, and Ready says whether it
	// is. wg-quick's files cannot say so.
	Required bool `json:"required,omitempty"`
	// MSSClamp bounds the segments of TCP connections with the peer; of this and
	// the Config's the lower holds. wg-quick's files cannot say so.
	MSSClamp MSSClamp `json:"mssClamp,omitzero"`
}

// Hooks are commands for bash around the start and end of a tunnel, each list
// in its order. %i in them stands for the interface's name.
type Hooks struct {
	PreUp, PostUp, PreDown, PostDown []string
}

// Len returns how many commands there are.
func (h Hooks) Len() int {
	return len(h.PreUp) + len(h.PostUp) + len(h.PreDown) + len(h.PostDown)
}

func (h Hooks) equal(o Hooks) bool {
	return slices.Equal(h.PreUp, o.PreUp) && slices.Equal(h.PostUp, o.PostUp) && slices.Equal(h.PreDown, o.PreDown) && slices.Equal(h.PostDown, o.PostDown)
}

// String says how many commands there are, and none of them.
func (h Hooks) String() string { return count(h.Len(), "hook") }

// GoString returns String's form.
func (h Hooks) GoString() string { return h.String() }

// Format prints String's form, whatever the verb is.
func (h Hooks) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, h.String()) }

// LogValue returns String's form.
func (h Hooks) LogValue() slog.Value { return slog.StringValue(h.String()) }

// MarshalText returns String's form, also for JSON. It cannot be read back.
func (h Hooks) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// Table is a routing table: TableAuto, TableOff, or its number on Linux, from 1
// to 4294967295 (linux/rtnetlink.h).
type Table int64

const (
	// TableAuto is the main table, with rules of their own for default routes.
	// It is the zero value.
	TableAuto Table = 0
	// TableOff means that no routes are made.
	TableOff Table = -1
)

// String returns "auto", "off" or the number.
func (t Table) String() string {
	switch t {
	case TableAuto:
		return "auto"
	case TableOff:
		return "off"
	}
	return strconv.FormatInt(int64(t), 10)
}

// MarshalText returns String's form.
func (t Table) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// String returns name, addresses and the number of peers in one line.
func (c Config) String() string {
	words := []string{c.Name}
	for _, a := range c.Addresses {
		words = append(words, a.String())
	}
	return strings.TrimSpace(strings.Join(words, " ") + ", " + count(len(c.Peers), "peer"))
}

// GoString returns String's form.
func (c Config) GoString() string { return c.String() }

// Format prints String's form, whatever the verb is.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns a group of name, port and the number of peers.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", c.Name), slog.Any("addresses", c.Addresses),
		slog.Int("listenPort", int(c.ListenPort)), slog.Int("peers", len(c.Peers)))
}

// String returns the peer's name, or its public key if it has none.
func (p Peer) String() string {
	if p.Name != "" {
		return p.Name
	}
	return p.PublicKey.String()
}

// GoString returns String's form.
func (p Peer) GoString() string { return p.String() }

// Format prints String's form, whatever the verb is.
func (p Peer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue returns String's form.
func (p Peer) LogValue() slog.Value { return slog.StringValue(p.String()) }

// count returns a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
