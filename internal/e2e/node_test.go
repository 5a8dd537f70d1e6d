package e2e_test

import (
	"crypto/ecdh"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
)

// Short names for what most tests use.
const offset = rig.Offset

var host4, host6, peer4, peer6 = craft.Host4, craft.Host6, craft.Peer4, craft.Peer6

// nodeVariable is the environment variable that makes this program a node, and
// has the node's spec in JSON.
const nodeVariable = "TSTUN_E2E_NODE"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(nodeVariable)
	if !ok {
		goleak.VerifyTestMain(m)
		return
	}
	if err := runNode(text, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

// What a node of wireguard-go's can stand on.
const (
	bare    = "bare"    // a TUN of wireguard-go's own
	wrapped = "wrapped" // a TUN of tstun.New's, wrapped
)

// spec is what wireguard-go needs to know to be a node.
type spec struct {
	Kind      string
	Device    string // name of the TUN
	Addrs     []netip.Addr
	Key       []byte // private
	PeerKey   []byte
	PeerAddrs []netip.Addr
	Port      int // UDP, of this end
	Endpoint  netip.AddrPort
}

// start starts wireguard-go in the calling thread's network namespace. It
// returns the Wrapper, or nil if the node is bare.
func (s *spec) start(logf func(format string, args ...any)) (*device.Device, *tstun.Wrapper, error) {
	key, err := ecdh.X25519().NewPrivateKey(s.Key)
	if err != nil {
		return nil, nil, err
	}
	peer, err := ecdh.X25519().NewPublicKey(s.PeerKey)
	if err != nil {
		return nil, nil, err
	}
	dev, w, err := s.open(logf)
	if err != nil {
		return nil, nil, err
	}
	logger := &device.Logger{Verbosef: device.DiscardLogf, Errorf: logf}
	wg, err := rig.StartWireGuard(dev, logger, rig.Interface(key, s.Port)+rig.Peer(peer, s.Endpoint, s.PeerAddrs))
	return wg, w, err
}

func (s *spec) open(logf func(format string, args ...any)) (tun.Device, *tstun.Wrapper, error) {
	if s.Kind == bare {
		dev, err := tun.CreateTUN(s.Device, tstun.DefaultMTU)
		return dev, nil, err
	}
	f, err := filter.New(s.rules())
	if err != nil {
		return nil, nil, err
	}
	dev, _, err := tstun.New(logf, s.Device)
	if err != nil {
		return nil, nil, err
	}
	w := tstun.Wrap(logf, dev)
	w.SetFilter(f)
	w.SetStatisticsEnabled(true)
	return w, w, nil
}

// The ports that the rules let the peer reach.
const (
	portTCP    = 5201
	portUDP    = 7
	portDenied = 22
)

// rules let the peer ping the node and reach both ports.
func (s *spec) rules() filter.Config {
	return filter.Config{
		Local: rig.Local(s.Addrs...),
		Matches: []filter.Match{
			rig.To(filter.AllPorts, ipproto.ICMPv4, ipproto.ICMPv6),
			rig.To(rig.Port(portTCP), ipproto.TCP),
			rig.To(rig.Port(portUDP), ipproto.UDP),
		},
	}
}

// runNode is a node until in ends. It writes a line to out when it is up.
func runNode(text string, in io.Reader, out io.Writer) error {
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	wg, _, err := s.start(func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	defer wg.Close()
	if _, err := fmt.Fprintln(out, "up"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}
