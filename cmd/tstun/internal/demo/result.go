package demo

import (
	"net/netip"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/netlogtype"
)

// Result is what the demo saw, and its JSON document.
type Result struct {
	ui.Report
	Mode        string           `json:"mode"` // userspace or tun
	Nodes       []NodeInfo       `json:"nodes"`
	Steps       []StepResult     `json:"steps"`
	Connections []ConnectionInfo `json:"connections"`
	Drops       []DropInfo       `json:"drops"`
	Totals      []TotalInfo      `json:"totals"`
	Seconds     float64          `json:"seconds"`
}

// newResult returns a Result without a nil list, which JSON would show as null.
func newResult(o Options) *Result {
	mode := "userspace"
	if o.TUN {
		mode = "tun"
	}
	return &Result{
		Mode:        mode,
		Nodes:       []NodeInfo{},
		Steps:       []StepResult{},
		Connections: []ConnectionInfo{},
		Drops:       []DropInfo{},
		Totals:      []TotalInfo{},
	}
}

// NodeInfo is a node as it was started.
type NodeInfo struct {
	Name      string         `json:"name"`
	Addresses []netip.Addr   `json:"addresses"`
	PublicKey string         `json:"publicKey"`
	Endpoint  netip.AddrPort `json:"endpoint"`
	Interface string         `json:"interface"`
	Rules     []string       `json:"rules"`
}

// StepResult is how one step ended. Data is a value of one of the Data types, or
// nil.
type StepResult struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Data    any     `json:"data,omitempty"`
}

// HandshakeData is what the handshake connected: both WireGuard endpoints.
type HandshakeData struct {
	From netip.AddrPort `json:"from"`
	To   netip.AddrPort `json:"to"`
}

// PingData is a reply of each address that was pinged.
type PingData struct {
	Replies []PingReply `json:"replies"`
}

// PingReply is the first reply of an address.
type PingReply struct {
	Address      netip.Addr `json:"address"`
	Milliseconds float64    `json:"milliseconds"`
	Lost         int        `json:"lost"` // requests before it, which got no reply
}

// HTTPData is the response to an HTTP request.
type HTTPData struct {
	URL       string `json:"url"`
	Status    string `json:"status"`
	FirstLine string `json:"firstLine"`
}

// DropData is a drop and the filter's explanation of it. From is invalid if the
// sender's port was not known before the packet was sent.
type DropData struct {
	Node        string         `json:"node"`
	From        netip.AddrPort `json:"from,omitzero"`
	To          netip.AddrPort `json:"to"`
	Stage       filter.Stage   `json:"stage"`
	Reason      filter.Reason  `json:"reason"`
	Explanation string         `json:"explanation"`
	Dropped     uint64         `json:"dropped"` // packets, as the counters have them
}

// RefusedData is the error of a connection that was refused, and the drop of its
// SYN.
type RefusedData struct {
	Error        string  `json:"error"`
	Milliseconds float64 `json:"milliseconds"`
	DropData
}

// UDPData is a reply that came in, and the drop of a datagram that was no reply.
type UDPData struct {
	Reply       string   `json:"reply"`
	Unsolicited DropData `json:"unsolicited"`
}

// TSMPData is a TSMP pong.
type TSMPData struct {
	Address      netip.Addr `json:"address"`
	Milliseconds float64    `json:"milliseconds"`
}

// TransferData is what the server received, and how fast.
type TransferData struct {
	Bytes         int64   `json:"bytes"`
	Seconds       float64 `json:"seconds"`
	GbitPerSecond float64 `json:"gbitPerSecond"`
	CRC32C        string  `json:"crc32c"`
}

// ConnectionInfo is the traffic of one connection, as one node counted it.
type ConnectionInfo struct {
	Node string `json:"node"`
	netlogtype.Connection
	netlogtype.Counts
}

// DropInfo is the number of packets that one node dropped for one reason.
type DropInfo struct {
	Node      string        `json:"node"`
	Direction string        `json:"direction"` // in or out
	Reason    filter.Reason `json:"reason"`
	Packets   uint64        `json:"packets"`
	Meaning   string        `json:"meaning"`
}

// TotalInfo is the sums of one node. Its Counts are the sums over the node's
// connections and equal the node's counters, or the demo fails.
type TotalInfo struct {
	Node string `json:"node"`
	Peer string `json:"peer"`
	netlogtype.Counts
	DroppedIn  uint64 `json:"droppedIn"`
	DroppedOut uint64 `json:"droppedOut"`
	Lost       uint64 `json:"lost"` // packets that the node sent and the peer neither took, held nor dropped
}
