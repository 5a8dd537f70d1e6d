package attack_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tstun/internal/netns"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// ctNames are conntrack's states of a packet (nft(8), CONNTRACK EXPRESSIONS),
// in the order of ctState.
var ctNames = []string{"new", "established", "related", "invalid", "untracked"}

type ctState uint8

const (
	ctNone ctState = iota
	ctNew
	ctEstablished
	ctRelated
	ctInvalid
	ctUntracked

	replyBit = 8 // in the DSCP field: the packet goes the other way than the first
)

func (c ctState) String() string {
	if c == ctNone {
		return "gone"
	}
	return ctNames[c-1]
}

// opinion is what became of a packet in the kernel. The zero value is for one
// that was lost before the rules: the kernel does not forward such packets.
type opinion struct {
	accepted bool
	state    ctState
	reply    bool
	packets  int // that came out
}

const hostTUN, peerTUN, refusedTUN = "host0", "peer0", "refused0"

// kernel is a router between two TUNs that judges what goes through.
type kernel struct {
	ns                  *netns.NS
	host, peer, refused *os.File
	buf                 []byte

	// fewFragments is set where the kernel does not let a namespace hold more
	// fragments of IPv6 than the system's default, and then drops.
	fewFragments bool
}

func newKernel(t *testing.T) *kernel {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skipf("needs nft: %v", err)
	}
	k := &kernel{ns: netns.New(t), buf: make([]byte, 65536)}
	k.host = k.tun(t, hostTUN, hostNet4, hostNet6)
	k.peer = k.tun(t, peerTUN, peerNet4, peerNet6)
	k.refused = k.tun(t, refusedTUN, netip.PrefixFrom(gateway4, 32), netip.PrefixFrom(gateway6, 128))
	for name, value := range map[string]string{
		"ipv4/ip_forward":                     "1",
		"ipv6/conf/all/forwarding":            "1",
		"ipv4/conf/all/rp_filter":             "0",
		"ipv4/conf/" + hostTUN + "/rp_filter": "0",
		"ipv4/conf/" + peerTUN + "/rp_filter": "0",
	} {
		k.set(t, name, value)
	}
	k.load(t)
	// No time passes for the filter, so none may for the kernel. Sequence
	// numbers and checksums are nothing to the filter.
	k.set(t, "netfilter/nf_conntrack_tcp_be_liberal", "1")
	k.set(t, "netfilter/nf_conntrack_tcp_loose", "1")
	k.set(t, "netfilter/nf_conntrack_checksum", "0")
	// Fragments of many datagrams come mixed, and many datagrams stay incomplete.
	k.set(t, "ipv4/ipfrag_max_dist", "0")
	k.set(t, "ipv4/ipfrag_high_thresh", "1000000000")
	k.fewFragments = !k.raise(t, "netfilter/nf_conntrack_frag6_high_thresh", "1000000000")
	for _, name := range []string{
		"tcp_timeout_close", "tcp_timeout_close_wait", "tcp_timeout_fin_wait", "tcp_timeout_last_ack",
		"tcp_timeout_max_retrans", "tcp_timeout_syn_recv", "tcp_timeout_syn_sent", "tcp_timeout_time_wait",
		"tcp_timeout_unacknowledged", "udp_timeout", "udp_timeout_stream", "icmp_timeout", "icmpv6_timeout", "generic_timeout",
	} {
		k.set(t, "netfilter/nf_conntrack_"+name, "86400")
	}
	return k
}

// set sets a sysctl below net in the namespace.
func (k *kernel) set(t *testing.T, name, value string) {
	t.Helper()
	setNet(t, k.ns, name, value)
}

func setNet(t *testing.T, ns *netns.NS, name, value string) {
	t.Helper()
	if err := writeNet(ns, name, value); err != nil {
		t.Fatal(err)
	}
}

// raise is set for a limit that a namespace may have no right to raise. It
// reports whether it had.
func (k *kernel) raise(t *testing.T, name, value string) bool {
	t.Helper()
	err := writeNet(k.ns, name, value)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrPermission) {
		t.Fatal(err)
	}
	return err == nil
}

func writeNet(ns *netns.NS, name, value string) error {
	return ns.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
	})
}

// close removes the router before the end of the test.
func (k *kernel) close(t *testing.T) {
	t.Helper()
	for _, f := range []*os.File{k.host, k.peer, k.refused} {
		f.Close()
	}
	if err := k.ns.Close(); err != nil {
		t.Fatal(err)
	}
}

func (k *kernel) load(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(ruleset())
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := k.ns.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, out.String())
	}
}

// tun makes a raw TUN in the namespace, with routes to what is behind it.
func (k *kernel) tun(t *testing.T, name string, nets ...netip.Prefix) *os.File {
	t.Helper()
	f := openTUN(t, k.ns, name)
	if err := k.ns.LinkUp(name); err != nil {
		t.Fatal(err)
	}
	for _, net := range nets {
		if err := k.ns.AddRoute(name, net); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// openTUN makes a TUN in the namespace, which is closed with the test.
func openTUN(t *testing.T, ns *netns.NS, name string) (f *os.File) {
	t.Helper()
	if err := ns.Do(func() (err error) { f, err = rig.OpenTUN(name); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// side returns the TUN that packets of one direction enter.
func (k *kernel) side(out bool) *os.File {
	if out {
		return k.host
	}
	return k.peer
}

// parcel is a packet for the kernel. Those with the same tag, which counts
// from 1, are parts of one datagram.
type parcel struct {
	tag int
	out bool
	pkt []byte
}

// judge sends the parcels and returns what became of each tag. A marker behind
// them on every way out says that all of them are through.
func (k *kernel) judge(t *testing.T, parcels []parcel) []opinion {
	t.Helper()
	var sent []parcel // by tag
	for _, p := range parcels {
		for len(sent) < p.tag {
			sent = append(sent, parcel{})
		}
		sent[p.tag-1] = p
		if _, err := k.side(p.out).Write(p.pkt); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Fatalf("write %x: %v", p.pkt, err)
		}
	}
	opinions := make([]opinion, len(sent))
	take := func(b []byte, accepted bool) (sentOut bool) {
		i, ok := find(sent, b)
		if !ok {
			return
		}
		dscp := dscpOf(b)
		opinions[i] = opinion{
			accepted: accepted, state: ctState(dscp &^ replyBit), reply: dscp&replyBit != 0,
			packets: opinions[i].packets + 1,
		}
		return sent[i].out
	}
	k.drain(t, k.host, k.peer, markPeer, markIn, func(b []byte) {
		if take(b, true) {
			t.Errorf("an outbound packet came back: %x", b)
		}
	})
	k.drain(t, k.peer, k.host, markIn, markOut, func(b []byte) { take(b, true) })
	k.drain(t, k.refused, k.peer, markPeer, markRefused, func(b []byte) { take(b, false) })
	return opinions
}

// drain sends a marker into in and hands out what comes out of out before it.
func (k *kernel) drain(t *testing.T, out, in *os.File, src, dst netip.Addr, f func(b []byte)) {
	t.Helper()
	mark := packet.Generate(packet.UDPHeader{Src: netip.AddrPortFrom(src, 9), Dst: netip.AddrPortFrom(dst, 9)}, nil)
	if _, err := in.Write(mark); err != nil {
		t.Fatal(err)
	}
	if err := out.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := out.Read(k.buf)
		if err != nil {
			t.Fatalf("waiting for the marker: %v", err)
		}
		b := k.buf[:n]
		if n >= 20 && b[0]>>4 == 4 && [4]byte(b[16:20]) == dst.As4() {
			return
		}
		f(b)
	}
}

// find returns which of the parcels came out as b: its tag tells, and the
// addresses tell it from what the kernel itself says.
func find(sent []parcel, b []byte) (i int, ok bool) {
	i = tagOf(b) - 1
	if i < 0 || i >= len(sent) || len(b) < 20 || len(sent[i].pkt) == 0 || b[0]>>4 != sent[i].pkt[0]>>4 {
		return 0, false
	}
	if b[0]>>4 == 4 {
		return i, string(b[12:20]) == string(sent[i].pkt[12:20])
	}
	return i, string(b[8:40]) == string(sent[i].pkt[8:40])
}

// tag numbers a packet in its batch: the identification of IPv4, which is
// for fragments only, or the flow label of IPv6. It also sets the hop limit.
func tag(b []byte, n int, hops uint8) {
	if b[0]>>4 == 6 {
		b[1], b[2], b[3] = b[1]&0xf0, byte(n>>8), byte(n)
		b[7] = hops
		return
	}
	binary.BigEndian.PutUint16(b[4:], uint16(n))
	b[8] = hops
	craft.FixHeader(b)
}

func tagOf(b []byte) int {
	switch {
	case len(b) >= 40 && b[0]>>4 == 6:
		return int(b[2])<<8 | int(b[3])
	case len(b) >= 20 && b[0]>>4 == 4:
		return int(binary.BigEndian.Uint16(b[4:]))
	}
	return 0
}

// dscpOf returns the DSCP field, RFC 2474 §3.
func dscpOf(b []byte) uint8 {
	if b[0]>>4 == 6 {
		return (b[0]&0x0f)<<2 | b[1]>>6
	}
	return b[1] >> 2
}
