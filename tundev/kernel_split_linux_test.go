//go:build !android

package tundev_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tstun/internal/gso"
	"tstun/internal/netns"
	"tstun/internal/tunqueue/queuetest"
	"tstun/ipproto"
	"tstun/packet"
	"tstun/tundev"
)

var (
	seed   = flag.Uint64("seed", 1, "of the super-packets that are compared with the kernel")
	supers = flag.Int("supers", 4000, "how many super-packets are compared with the kernel")
)

// injector sends packets with a virtio header out of an interface, as a stack
// with offloads does.
type injector struct {
	fd    int
	index int
}

func newInjector(t testing.TB, name string) injector {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		t.Fatal(err)
	}
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return injector{fd, link.Index}
}

func (i injector) send(v gso.Virtio, p []byte) error {
	return i.sendEncoded(p[0]>>4, withVirtio(v, p))
}

// sendEncoded sends what has its virtio header already.
func (i injector) sendEncoded(version byte, frame []byte) error {
	kind := uint16(unix.ETH_P_IP)
	if version == 6 {
		kind = unix.ETH_P_IPV6
	}
	to := &unix.SockaddrLinklayer{Protocol: bits.ReverseBytes16(kind), Ifindex: i.index}
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 { // big-endian
		to.Protocol = kind
	}
	return unix.Sendto(i.fd, frame, 0, to)
}

// superUDPType is VIRTIO_NET_HDR_GSO_UDP_L4 of linux/virtio_net.h.
const superUDPType = 5

// superPacket makes a random super-packet, or a packet that is none but leaves
// its checksum to others.
func superPacket(r *rand.Rand) (v gso.Virtio, p []byte) {
	v6, proto := r.IntN(2) == 0, []ipproto.Proto{ipproto.TCP, ipproto.TCP, ipproto.UDP}[r.IntN(3)]
	if v6 {
		p = ipv6Header(r, proto)
	} else {
		p = ipv4Header(r, proto)
	}
	ip := len(p)
	v = gso.Virtio{Flags: 1, ChecksumStart: uint16(ip)}
	at := 0
	if proto == ipproto.TCP {
		p = append(p, tcpHeader(r)...)
		v.Type, at = 1, 16
		if v6 {
			v.Type = 4
		}
		if r.IntN(3) == 0 { // with CWR and without
			v.Type |= 0x80
		}
	} else {
		p = binary.BigEndian.AppendUint32(p, r.Uint32())
		p = append(p, 0, 0, 0, 0)
		v.Type, at = superUDPType, 6
	}
	v.HeaderLen, v.ChecksumOffset = uint16(len(p)), uint16(at)
	v.Size = uint16(segmentSize(r))
	data := min(1+r.IntN(int(v.Size)*(1+r.IntN(50))), 65535-len(p))
	if proto == ipproto.UDP {
		data = min(data, 64*int(v.Size)) // UDP_MAX_SEGMENTS of linux/udp.h, once
	}
	if r.IntN(20) == 0 || data <= int(v.Size) {
		v.Type, v.Size, v.HeaderLen = 0, 0, 0
		data = min(data, 1300)
	}
	for range data {
		p = append(p, byte(r.Uint32()))
	}
	finish(p, ip, at, proto)
	return v, p
}

// segmentSize is from 88 to 65,000, small ones as often as large ones.
func segmentSize(r *rand.Rand) int {
	least := 88 << r.IntN(10)
	return min(least+r.IntN(least), 65_000)
}

func ipv4Header(r *rand.Rand, proto ipproto.Proto) []byte {
	p := []byte{0x45, byte(r.Uint32()), 0, 0}
	p = binary.BigEndian.AppendUint16(p, uint16(r.Uint32()))
	p = append(p, byte(r.IntN(2))<<6, 0, 64, byte(proto), 0, 0)
	p = append(p, 10, 1, byte(r.Uint32()), 1, 10, 2, byte(r.Uint32()), 1)
	if r.IntN(4) == 0 {
		words := 1 + r.IntN(10)
		p[0] += byte(words)
		p = append(p, bytes.Repeat([]byte{1}, 4*words)...) // no operation
	}
	return p
}

func ipv6Header(r *rand.Rand, proto ipproto.Proto) []byte {
	p := binary.BigEndian.AppendUint32(nil, 6<<28|r.Uint32()>>4)
	p = append(p, 0, 0, byte(proto), 64)
	for range 2 {
		p = append(p, 0xfd, 14)
		p = append(p, make([]byte, 13)...)
		p = append(p, byte(r.Uint32()))
	}
	next := 6                                                              // where the next header is named
	for _, kind := range [][]byte{{}, {}, {0}, {60}, {0, 60}}[r.IntN(5)] { // RFC 8200 §4.3, §4.6
		words := r.IntN(3)
		here := len(p)
		p = append(p, p[next], byte(words), 1, byte(4+8*words)) // PadN
		p = append(p, make([]byte, 4+8*words)...)
		p[next], next = kind, here
	}
	return p
}

func tcpHeader(r *rand.Rand) []byte {
	p := binary.BigEndian.AppendUint32(nil, r.Uint32()) // ports
	p = binary.BigEndian.AppendUint64(p, r.Uint64())    // seq, ack
	flags := []byte{0x10, 0x18, 0x11, 0x19, 0x90, 0xd8, 0x50}[r.IntN(7)]
	p = append(p, 5<<4, flags, byte(r.Uint32()), byte(r.Uint32()), 0, 0, 0, 0)
	if r.IntN(2) == 0 {
		p[12] = 8 << 4
		p = append(p, 1, 1, 8, 10) // timestamps, RFC 7323
		p = binary.BigEndian.AppendUint64(p, r.Uint64())
	}
	return p
}

// finish writes lengths, the header checksum and the sum of the pseudo-header.
func finish(p []byte, transport, at int, proto ipproto.Proto) {
	length := len(p) - transport
	var src, dst netip.Addr
	if p[0]>>4 == 4 {
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		binary.BigEndian.PutUint16(p[10:], ^packet.Checksum(p[:transport], 0))
		src, dst = netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:]))
	} else {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		src, dst = netip.AddrFrom16([16]byte(p[8:])), netip.AddrFrom16([16]byte(p[24:]))
	}
	if proto == ipproto.UDP {
		binary.BigEndian.PutUint16(p[transport+4:], uint16(length))
	}
	binary.BigEndian.PutUint16(p[transport+at:], packet.PseudoHeaderSum(proto, src, dst, length))
}

// quietTUN brings an interface up on which the kernel itself says nothing, with
// a queue for all segments of a super-packet.
func quietTUN(t testing.TB, ns *netns.NS, name string) {
	t.Helper()
	os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
	if _, err := ns.Exec(t.Context(), "ip", "link", "set", name, "txqueuelen", "2000", "up"); err != nil {
		t.Fatal(err)
	}
}

// takeAll reads what is ready.
func takeAll(t *testing.T, dev tundev.Direct, bufs [][]byte, sizes []int) (pkts [][]byte) {
	t.Helper()
	for {
		n, err := dev.ReadReady(bufs, sizes, room, false)
		if err != nil {
			t.Fatal(err)
		}
		for i, size := range sizes[:n] {
			if size < 0 {
				t.Fatal("malformed")
			}
			pkts = append(pkts, bytes.Clone(bufs[i][room:room+size]))
		}
		if n < len(bufs) {
			return pkts
		}
	}
}

// Super-packets come out of the device byte for byte as the kernel itself cuts
// them for a device without offloads. A kernel that does not grant UDP
// segmentation offload knows no super-packets of UDP in this form at all.
func TestSplitAsTheKernelDoes(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		open := func(name string, flags uint16) tundev.Direct {
			dev, _, err := tundev.FromFile(openTUN(t, name, flags), 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { dev.Close() })
			direct, ok := tundev.AsDirect(t.Logf, dev)
			if !ok {
				t.Fatal("not direct")
			}
			quietTUN(t, ns, name)
			return direct
		}
		ours := open("ours0", unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
		kernels := open("kernels0", unix.IFF_TUN|unix.IFF_NO_PI)
		toOurs, toKernels := newInjector(t, "ours0"), newInjector(t, "kernels0")
		r := rand.New(rand.NewPCG(*seed, 0))
		bufs, sizes := buffers(128, room+65535)
		kinds := make(map[string]int)
		reads, packets := 0, 0
		udp := udpOffload(t)
		queuetest.FailReads(tundev.QueueOf(ours), func() syscall.Errno { reads++; return 0 })
		for i := range *supers {
			v, p := superPacket(r)
			if v.Type == superUDPType && !udp {
				wantRefused(t, toOurs.send(v, p), toKernels.send(v, p))
				continue
			}
			if err := toOurs.send(v, p); err != nil {
				t.Fatalf("%d: %+v: %v", i, v, err)
			}
			if err := toKernels.send(v, p); err != nil {
				t.Fatal(err)
			}
			got, want := takeAll(t, ours, bufs[:1+r.IntN(128)], sizes), takeAll(t, kernels, bufs, sizes)
			compareSegments(t, fmt.Sprintf("seed %d, super-packet %d, %+v", *seed, i, v), got, want)
			if t.Failed() {
				return
			}
			packets += len(got)
			kinds[fmt.Sprintf("type %#x, more than one %v", v.Type, len(want) > 1)]++
		}
		t.Log(kinds)
		if reads > packets/3 { // two each, with the one that finds nothing
			t.Errorf("%d packets in %d reads: the kernel did not leave cutting to the device", packets, reads)
		}
	})
}

func wantRefused(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if !errors.Is(err, syscall.EINVAL) {
			t.Errorf("a super-packet of UDP, which the kernel does not grant: %v", err)
		}
	}
}

func compareSegments(t *testing.T, what string, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d packets, the kernel makes %d", what, len(got), len(want))
		return
	}
	for k := range got {
		if !bytes.Equal(got[k], want[k]) {
			end := min(100, len(got[k]), len(want[k]))
			t.Errorf("%s: packet %d of %d, %d bytes, the kernel's %d\n got %x\nwant %x",
				what, k, len(want), len(got[k]), len(want[k]), got[k][:end], want[k][:end])
			return
		}
	}
}
