package main

import (
	"net/netip"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/netlogtype"
)

// demoResult is what --json prints.
type demoResult struct {
	ui.Report
	Mode        string           `json:"mode"` // userspace or tun
	Nodes       []nodeInfo       `json:"nodes"`
	Steps       []stepResult     `json:"steps"`
	Connections []connectionInfo `json:"connections"`
	Drops       []dropInfo       `json:"drops"`
	Totals      []totalInfo      `json:"totals"`
	Seconds     float64          `json:"seconds"`
}

// newDemoResult has no list that is null in JSON.
func newDemoResult(mode string) demoResult {
	return demoResult{
		Mode:        mode,
		Nodes:       []nodeInfo{},
		Steps:       []stepResult{},
		Connections: []connectionInfo{},
		Drops:       []dropInfo{},
		Totals:      []totalInfo{},
	}
}

type nodeInfo struct {
	Name      string         `json:"name"`
	Addresses []netip.Addr   `json:"addresses"`
	PublicKey string         `json:"publicKey"`
	Endpoint  netip.AddrPort `json:"endpoint"`
	Interface string         `json:"interface"`
	Rules     []string       `json:"rules"`
}

// stepResult is one step. Data is of one of the types below.
type stepResult struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Data    any     `json:"data,omitempty"`
}

type handshakeData struct {
	From netip.AddrPort `json:"from"`
	To   netip.AddrPort `json:"to"`
}

type pingData struct {
	Replies []pingReply `json:"replies"`
}

type pingReply struct {
	Address      netip.Addr `json:"address"`
	Milliseconds float64    `json:"milliseconds"`
	Lost         int        `json:"lost"` // requests before, that got no reply
}

type httpData struct {
	URL       string `json:"url"`
	Status    string `json:"status"`
	FirstLine string `json:"firstLine"`
}

// dropData says how the filter stopped something.
type dropData struct {
	Node        string         `json:"node"`
	From        netip.AddrPort `json:"from,omitzero"`
	To          netip.AddrPort `json:"to"`
	Stage       filter.Stage   `json:"stage"`
	Reason      filter.Reason  `json:"reason"`
	Explanation string         `json:"explanation"`
	Dropped     uint64         `json:"dropped"` // packets, by the counters
}

type refusedData struct {
	Error        string  `json:"error"`
	Milliseconds float64 `json:"milliseconds"`
	dropData
}

type udpData struct {
	Reply       string   `json:"reply"`
	Unsolicited dropData `json:"unsolicited"`
}

type tsmpData struct {
	Address      netip.Addr `json:"address"`
	Milliseconds float64    `json:"milliseconds"`
}

type transferData struct {
	Bytes         int64   `json:"bytes"`
	Seconds       float64 `json:"seconds"`
	GbitPerSecond float64 `json:"gbitPerSecond"`
	CRC32C        string  `json:"crc32c"`
}

type connectionInfo struct {
	Node string `json:"node"`
	netlogtype.Connection
	netlogtype.Counts
}

type dropInfo struct {
	Node      string        `json:"node"`
	Direction string        `json:"direction"` // in or out
	Reason    filter.Reason `json:"reason"`
	Packets   uint64        `json:"packets"`
	Meaning   string        `json:"meaning"`
}

// totalInfo are a node's sums. Those over its connections equal those of its
// counters, or the demo fails.
type totalInfo struct {
	Node string `json:"node"`
	Peer string `json:"peer"`
	netlogtype.Counts
	DroppedIn  uint64 `json:"droppedIn"`
	DroppedOut uint64 `json:"droppedOut"`
	Lost       uint64 `json:"lost"` // packets sent that the peer neither took nor dropped
}
