package e2e_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// readBatches are numbers of buffers for Read. Each leaves another rest of a
// super-packet for the next Read.
var readBatches = []int{1, 2, 3, 7, 64, 128}

// TestSuperPacketsLargerThanRead: the next Reads return the rest of a super-packet,
// of the kernel's UDP ones and of injected TCP ones.
func TestSuperPacketsLargerThanRead(t *testing.T) {
	host, w := openHost(t, host4, itself)
	s := newStorm(t, host, w)
	socket, injectors := s.socket(portSupers), s.injectors()
	r := rand.New(rand.NewPCG(8, 8))
	bufs, sizes := rig.Buffers(128), make([]int, 128)
	sent := uint64(0)
	injected := make([]uint64, len(injectors))
	for _, batch := range readBatches {
		for _, of := range []int{1, 2, batch - 1, batch, batch + 1, 2*batch - 1, 2 * batch, 2*batch + 1, 50, 51} {
			of = max(1, min(of, 54)) // times 1200 bytes is what a packet holds
			for range 2 {
				size := craft.Numbers + r.IntN(1200-craft.Numbers+1)
				last := craft.Numbers + r.IntN(size-craft.Numbers+1)
				if err := rig.SendSegments(socket, craft.NumberedGroup(sent, of, size, last), size); err != nil {
					t.Fatalf("%d segments of %d bytes: %v", of, size, err)
				}
				sent++
				for range r.IntN(3) {
					k := r.IntN(len(injectors))
					if !s.injectOne(r, uint16(portInjected+k), injected[k], injectors[k]) {
						return
					}
					injected[k]++
				}
			}
			s.readAll(bufs[:batch], sizes, func() bool {
				for k := range injectors {
					if s.streams[uint16(portInjected+k)].Group < injected[k] {
						return false
					}
				}
				return s.streams[portSupers].Group == sent
			})
			if t.Failed() {
				t.Fatalf("with %d buffers, %d segments", batch, of)
			}
		}
	}
	if c := w.Counters(); c.Out.Packets != s.passed || c.Out.Dropped() != 0 {
		t.Errorf("%d packets read, counted %+v", s.passed, c.Out)
	}
}

// readAll reads until all reports true.
func (s *storm) readAll(bufs [][]byte, sizes []int, all func() bool) {
	s.t.Helper()
	stuck := time.AfterFunc(20*time.Second, func() { s.w.Close() })
	defer stuck.Stop()
	for !all() {
		n, err := s.w.Read(bufs, sizes, offset)
		if err != nil {
			s.t.Fatalf("Read: %v; something is missing", err)
		}
		if !s.acceptAll(bufs[:n], sizes) {
			return
		}
	}
}

// TestCloseAccountsForSuperPackets: Close counts the segments of a kernel's
// super-packet that the Wrapper took from the TUN and nobody read. A kernel without
// UDP segmentation offload keeps them, and the Wrapper counts none.
func TestCloseAccountsForSuperPackets(t *testing.T) {
	host, w := openHost(t, host4, itself)
	c := host.DialUDP(t, netip.AddrPortFrom(host4, portSupers), netip.AddrPortFrom(peer4, 9))
	if err := rig.SendSegments(c, craft.NumberedGroup(0, 40, 1000, 500), 1000); err != nil {
		t.Fatal(err)
	}
	bufs, sizes := rig.Buffers(3), make([]int, 3)
	stuck := time.AfterFunc(20*time.Second, func() { w.Close() })
	defer stuck.Stop()
	if n, err := w.Read(bufs, sizes, offset); n != 3 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	left := uint64(0)
	if host.UDPOffload(t) {
		left = 37
	}
	if out := w.Counters().Out; out.Packets != 3 || out.Drops[filter.ReasonClosed] != left || out.Dropped() != left {
		t.Errorf("counted %+v, want 3 packets and %d dropped as closed", out, left)
	}
}

// TestTransfersOverShortReads: TCP between two kernels passes Reads with few buffers
// and injections in between, and arrives as it was sent.
func TestTransfersOverShortReads(t *testing.T) {
	const length = 3 << 20
	a, wa := openHost(t, host4, itself)
	b, wb := openHost(t, peer4, itself)
	closeBoth := func() { wa.Close(); wb.Close() }
	s := newStorm(t, a, wa)
	injectors := s.injectors()
	batch := make(chan int, 1) // for the next Read; holds one
	batch <- 1
	var there, andBack, injecting sync.WaitGroup
	there.Go(func() { carry(t, wa, wb, batch, s.accept) })
	back := make(chan int, 1)
	back <- 128
	andBack.Go(func() { carry(t, wb, wa, back, nil) })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	injecting.Go(func() {
		r := rand.New(rand.NewPCG(9, 9))
		group := uint64(0)
		every(ctx, 2*time.Millisecond, func() { // of each kind one
			for k := range injectors {
				port := uint16(portInjected + k)
				if !s.injectOne(r, port, group, injectors[k]) || !s.streams[port].Wait(group+1, ctx.Done()) {
					return
				}
			}
			group++
		})
	})
	stuck := time.AfterFunc(50*time.Second, closeBoth)
	l := b.ListenTCP(t, netip.AddrPortFrom(peer4, allowedPort))
	for _, n := range readBatches {
		<-batch
		batch <- n
		sum, got, err := transferHashed(a, l, length)
		if err != nil || sum != got {
			t.Errorf("with %d buffers: %v, %x arrived of %x", n, err, got[:4], sum[:4])
		}
	}
	stuck.Stop()
	stop()
	injecting.Wait()
	wa.Close()
	there.Wait() // what it read is written
	wb.Close()
	andBack.Wait()
	out, in := wa.Counters().Out, wb.Counters().In
	if out.Packets != in.Packets+s.passed || in.Dropped() != 0 {
		t.Errorf("%d packets were read, %d of them injected, %+v", out.Packets, s.passed, in)
	}
	t.Logf("%d packets, %d of them injected", out.Packets, s.passed)
}

// carry writes to one Wrapper what another one reads, a number of packets at a time
// that batch holds. injected gets injected packets instead.
func carry(t *testing.T, from, to *tstun.Wrapper, batch chan int, injected func(p *packet.Parsed) bool) {
	bufs, sizes := rig.Buffers(128), make([]int, 128)
	var p packet.Parsed
	for {
		n := <-batch
		batch <- n
		n, err := from.Read(bufs[:n], sizes, offset)
		if err != nil {
			rig.WantClosed(t, "Read", err)
			return
		}
		var out [][]byte
		for i, size := range sizes[:n] {
			if size == 0 {
				continue
			}
			p.Decode(bufs[i][offset : offset+size])
			if injected == nil || p.Src.Port() < portInjected || p.Src.Port() >= portInjected+10 {
				out = append(out, bufs[i][:offset+size])
			} else if !injected(&p) {
				return
			}
		}
		if _, err := to.Write(out, offset); err != nil {
			rig.WantClosed(t, "Write", err)
			return
		}
	}
}

// transferHashed moves length random bytes from a to a listener over TCP, and
// returns the hashes of what was sent and what arrived.
func transferHashed(a *rig.Host, l net.Listener, length int64) (sent, came [sha256.Size]byte, err error) {
	var conn net.Conn
	err = a.NS.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp", l.Addr().String(), 20*time.Second)
		return err
	})
	if err != nil {
		return sent, came, err
	}
	defer conn.Close()
	deadline := time.Now().Add(40 * time.Second)
	var receiver sync.WaitGroup
	var receiveErr error
	receiver.Go(func() { came, receiveErr = receiveHashed(l, deadline) })
	h := sha256.New()
	if err = conn.SetDeadline(deadline); err == nil {
		_, err = io.Copy(conn, io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), length), h))
	}
	h.Sum(sent[:0])
	conn.Close()
	receiver.Wait()
	return sent, came, errors.Join(err, receiveErr)
}

func receiveHashed(l net.Listener, deadline time.Time) (sum [sha256.Size]byte, err error) {
	if err := l.(*net.TCPListener).SetDeadline(deadline); err != nil {
		return sum, err
	}
	c, err := l.Accept()
	if err != nil {
		return sum, err
	}
	defer c.Close()
	h := sha256.New()
	if err = c.SetDeadline(deadline); err == nil {
		_, err = io.Copy(h, c)
	}
	h.Sum(sum[:0])
	return sum, err
}
