package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	tsconn "github.com/tailscale/wireguard-go/conn"
	tsdevice "github.com/tailscale/wireguard-go/device"
	tstailscale "github.com/tailscale/wireguard-go/tun"
	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/bench/candidate"
	"tstun/bind"
	"tstun/packet"
)

// rules is how many rules the filters of the wrapped ends have.
const rules = 100

// node is one end of the tunnel.
type node struct {
	spec   *nodeSpec
	engine engine
	inject func(req request) (reply, error)

	program *program // instead of an engine
}

// engine is a device of either wireguard-go.
type engine interface {
	IpcSet(config string) error
	Up() error
}

// up makes the TUN, with its address and MTU, and the tunnel's end on it.
func up(spec *nodeSpec) (*node, error) {
	n := &node{spec: spec, inject: func(request) (reply, error) { return reply{}, errors.ErrUnsupported }}
	make := map[string]func() error{Bare: n.makeBare, Tstun: n.makeTstun, Alone: n.makeAlone, Tailscale: n.makeTailscale, Up: n.makeUp, Userspace: n.makeUserspace, Copying: n.makeCopying}[spec.Kind]
	if make == nil {
		return nil, fmt.Errorf("kind %q is not known", spec.Kind)
	}
	if err := make(); err != nil || n.program != nil {
		return n, err
	}
	err := n.engine.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%s\nallowed_ip=0.0.0.0/0\n",
		spec.PrivateKey, spec.Port, spec.PeerKey, spec.Endpoint))
	if err != nil {
		return nil, err
	}
	return n, n.engine.Up()
}

func (n *node) makeBare() error {
	dev, err := tun.CreateTUN(n.spec.Device, n.spec.MTU)
	if err != nil {
		return err
	}
	if err := n.setUpLink(); err != nil {
		return err
	}
	n.engine = device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	return nil
}

func (n *node) makeTstun() error { return n.wrap(bind.New()) }

func (n *node) makeAlone() error { return n.wrap(conn.NewDefaultBind()) }

func (n *node) wrap(b conn.Bind) error {
	dev, _, err := tstun.New(nil, n.spec.Device)
	if err != nil {
		return err
	}
	if err := n.setUpLink(); err != nil {
		return err
	}
	w, err := candidate.Tstun(dev, n.spec.setup())
	if err != nil {
		return err
	}
	n.inject = func(req request) (reply, error) { return n.flood(req, w.InjectOutbound) }
	n.engine = device.NewDevice(w, b, device.NewLogger(device.LogLevelSilent, ""))
	return nil
}

func (n *node) makeTailscale() error {
	dev, err := tstailscale.CreateTUN(n.spec.Device, n.spec.MTU)
	if err != nil {
		return err
	}
	if err := n.setUpLink(); err != nil {
		return err
	}
	w, err := candidate.Tailscale(dev, n.spec.setup())
	if err != nil {
		return err
	}
	n.inject = func(req request) (reply, error) { return n.flood(req, w.InjectOutbound) }
	n.engine = tsdevice.NewDevice(w, tsconn.NewDefaultBind(), tsdevice.NewLogger(tsdevice.LogLevelSilent, ""))
	return nil
}

// setup lets the other end reach every port.
func (s *nodeSpec) setup() candidate.Setup {
	return candidate.Setup{Host: s.Address.Addr(), Peer: s.Peer, First: 0, Last: 65535, Rules: rules, Statistics: true}
}

// setUpLink gives the TUN its MTU and address and brings it up.
func (n *node) setUpLink() error {
	link, err := netlink.LinkByName(n.spec.Device)
	if err != nil {
		return fmt.Errorf("find %s: %w", n.spec.Device, err)
	}
	if err := netlink.LinkSetMTU(link, n.spec.MTU); err != nil {
		return fmt.Errorf("set MTU of %s: %w", n.spec.Device, err)
	}
	addr, err := netlink.ParseAddr(n.spec.Address.String())
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address to %s: %w", n.spec.Device, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", n.spec.Device, err)
	}
	return nil
}

// queueFull is how long an injector waits when the queue is full.
const queueFull = 20 * time.Microsecond

// flood injects UDP packets for so long, as fast as inject takes them: one
// waits when the queue is full, another's call blocks until the packet is read.
func (n *node) flood(req request, inject func([]byte) error) (r reply, err error) {
	model := packet.Generate(packet.UDPHeader{
		Src: netip.AddrPortFrom(n.spec.Address.Addr(), 4000), Dst: req.To,
	}, make([]byte, req.Size))
	start := time.Now()
	for time.Since(start) < req.For {
		switch err := inject(slices.Clone(model)); { // takes ownership
		case err == nil:
			r.Packets++
		case errors.Is(err, tstun.ErrQueueFull):
			r.Refused++
			time.Sleep(queueFull)
		default:
			return r, err
		}
	}
	r.Took = time.Since(start)
	return r, nil
}
