package packets

import (
	"fmt"

	tailscale "github.com/tailscale/wireguard-go/tun"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/bench/candidate"
	"tstun/bench/memory"
)

// Who is compared. Bare is the device alone, and is what all others are
// measured above.
const (
	Bare      = "bare device"
	Direct    = "tstun, direct" // over a tundev.Direct
	Tstun     = "tstun"         // over a mere tun.Device, which the pump reads
	Tailscale = "tailscale"
	Nebula    = "nebula: parse and firewall alone"
)

// wrapper is what a run drives.
type wrapper interface {
	Read(bufs [][]byte, sizes []int, offset int) (int, error)
	Write(bufs [][]byte, offset int) (int, error)
	Close() error
}

// rig is a candidate on a device of its own. Closing the wrapper closes the
// device.
type rig struct {
	wrapper
	dev interface{ Taken() int }
}

// subject is a candidate that can be set up for a case. It is left out where
// make returns nil without an error.
type subject struct {
	kind string
	make func(c Case, packets [][]byte) (*rig, error)
}

func (c Case) setup() candidate.Setup {
	return candidate.Setup{
		Host: host, Peer: peer, First: hostPort, Last: hostPort,
		Rules: c.Rules, Statistics: c.Statistics, Hook: c.Hook,
	}
}

// subjects returns all candidates, Bare first.
func subjects() []subject {
	return []subject{
		{Bare, makeBare},
		{Direct, makeDirect},
		{Tstun, makeTstun},
		{Tailscale, makeTailscale},
		{Nebula, makeNebula},
	}
}

func makeBare(c Case, packets [][]byte) (*rig, error) {
	dev := memory.New[tun.Event](c.Batch, packets)
	return &rig{dev, dev}, nil
}

func makeTstun(c Case, packets [][]byte) (*rig, error) {
	dev := memory.New[tun.Event](c.Batch, packets)
	w, err := candidate.Tstun(dev, c.setup())
	return &rig{w, dev}, err
}

func makeTailscale(c Case, packets [][]byte) (*rig, error) {
	dev := memory.New[tailscale.Event](c.Batch, packets)
	w, err := candidate.Tailscale(dev, c.setup())
	return &rig{w, dev}, err
}

// makeDirect makes a Wrapper that takes its device for a tundev.Direct, or nil
// if this Wrapper does so with no device of a program's own.
func makeDirect(c Case, packets [][]byte) (*rig, error) {
	dev := memory.NewDirect[tun.Event](c.Batch, packets)
	w, err := candidate.Tstun(dev, c.setup())
	if err != nil {
		return nil, err
	}
	if _, err := w.Read(buffers(c.Batch), make([]int, c.Batch), offset); err != nil {
		w.Close()
		return nil, err
	}
	if dev.TakenForMere() {
		return nil, w.Close()
	}
	return &rig{w, dev}, nil
}

// makeNebula leaves out what nebula does not have or, in its way of adding
// rules, takes seconds to set up.
func makeNebula(c Case, packets [][]byte) (*rig, error) {
	if c.Hook || c.Statistics || c.Rules > 1 {
		return nil, nil
	}
	f, err := candidate.NewNebula(c.setup())
	if err != nil {
		return nil, err
	}
	dev := memory.New[tun.Event](c.Batch, packets)
	return &rig{&nebulaWrapper{dev, f}, dev}, nil
}

// nebulaWrapper gives nebula's firewall the form of a wrapper. nebula moves
// one packet at a time, so its loop is here.
type nebulaWrapper struct {
	dev      *memory.Device[tun.Event]
	firewall *candidate.Nebula
}

func (n *nebulaWrapper) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	got, err := n.dev.Read(bufs, sizes, offset)
	if err != nil {
		return got, err
	}
	for i := range got {
		if err := n.firewall.Judge(bufs[i][offset:offset+sizes[i]], false); err != nil {
			return 0, fmt.Errorf("nebula drops what the host sends: %w", err)
		}
	}
	return got, nil
}

func (n *nebulaWrapper) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		if err := n.firewall.Judge(b[offset:], true); err != nil {
			return 0, fmt.Errorf("nebula drops what the peer sends: %w", err)
		}
	}
	return n.dev.Write(bufs, offset)
}

func (n *nebulaWrapper) Close() error { return n.dev.Close() }
