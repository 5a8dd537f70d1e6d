package tunnel

import (
	"net/netip"
	"time"
)

// request is what the comparison asks of an agent: one JSON value per line.
// The agent answers each with one reply, in order.
type request struct {
	Do string

	Node *nodeSpec `json:",omitempty"` // up

	To    netip.AddrPort `json:",omitzero"`  // send, ping, inject, fetch: the receiver; receive, echo, source: to listen on
	Size  int            `json:",omitempty"` // send, inject: bytes of payload
	Rate  int            `json:",omitempty"` // send: packets per second; 0: as many as go
	Count int            `json:",omitempty"` // ping: how many
	Every time.Duration  `json:",omitempty"` // ping: one in each such interval; 0: each when the one before is back
	For   time.Duration  `json:",omitempty"` // send, inject, fetch
}

// What a request can ask for.
const (
	doUp      = "up"      // bring the tunnel up
	doUsage   = "usage"   // tell what the process has used so far
	doSend    = "send"    // send UDP packets
	doReceive = "receive" // begin to count UDP packets
	doEcho    = "echo"    // begin to send UDP packets back
	doStop    = "stop"    // end receive or echo and tell the count
	doPing    = "ping"    // wait for echoes, one at a time
	doInject  = "inject"  // inject packets into the Wrapper
	doSource  = "source"  // begin to send to who connects by TCP, without end
	doFetch   = "fetch"   // connect through the SOCKS5 server of this namespace and receive
	doFirst   = "first"   // wait for the first packet through the tunnel of a program
	doMemory  = "memory"  // tell the resident memory of the tunnel's program
)

// reply is what an agent answers. Fields that the request is not about are
// zero.
type reply struct {
	Error string `json:",omitempty"`

	usage                 // of the agent's process so far
	Packets int           // sent or received
	Refused int           // inject: injections refused because the queue was full
	Dropped int           // received: dropped for lack of buffer at the receiver's socket
	Took    time.Duration // send, inject

	Bytes       int64         // fetch: received; memory: resident
	First       time.Duration // first: since the start of the program
	Median, P99 time.Duration // ping
	Lost        int           // ping
}

// usage is what a process has used.
type usage struct {
	CPU      time.Duration // processor time, in user and kernel mode
	Switches int64         // how often a processor was taken away from a thread, voluntarily or not
}

func (u usage) sub(other usage) usage {
	return usage{u.CPU - other.CPU, u.Switches - other.Switches}
}

func (u usage) add(other usage) usage {
	return usage{u.CPU + other.CPU, u.Switches + other.Switches}
}

// nodeSpec is one end of a tunnel.
type nodeSpec struct {
	Kind       string
	Device     string // name of the TUN
	MTU        int
	Address    netip.Prefix // of the host in the tunnel
	Peer       netip.Addr   // the other end's
	PrivateKey string       // hex
	PeerKey    string       // hex
	Port       int          // UDP, of this end
	Endpoint   netip.AddrPort
	Program    string // file name of tstun
}
