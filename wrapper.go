package tstun

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/filter"
	"tstun/internal/accounting"
	"tstun/internal/clock"
	"tstun/internal/fragqueue"
	"tstun/internal/hostread"
	"tstun/internal/inject"
	"tstun/logger"
	"tstun/packet"
	"tstun/tundev"
)

const (
	// DefaultMTU is the MTU in bytes that New gives a device: the least that
	// IPv6 allows (RFC 8200 §5). A WireGuard packet of that size still fits
	// where PPPoE or a cloud network takes a piece of Ethernet's 1500 bytes,
	// which wireguard-go's own default of 1420 does not.
	DefaultMTU = 1280

	// MaxPacketSize is the length in bytes of the longest packet that can be
	// injected: what one WireGuard message can carry.
	MaxPacketSize = device.MaxContentSize

	// PacketStartOffset is the number of bytes that InjectInboundDirect needs
	// in front of a packet. WireGuard's message header and the headers that
	// TUN devices put in front of a packet are written there, in place.
	PacketStartOffset = device.MessageTransportHeaderSize
)

// closeWait bounds how long Close waits for the device: once for its Close, and
// once for the Read that is going on in it.
const closeWait = 450 * time.Millisecond

// Wrapper is a tun.Device with a packet filter, hooks, injection and
// counters in front of another tun.Device. The package comment draws the way
// of a packet through it.
//
// The exported fields are hooks: nil, or called as their comments say. They
// must be set before the first Read, Write or injection: the first packet binds
// those that are there. One that is set later is not called, and a log line says
// so. All methods may be called from any goroutine at any time. A Wrapper comes
// from Wrap or WrapTAP; the zero value is not valid.
type Wrapper struct {
	// PreFilterIn sees inbound packets before the main filter does, and so
	// also those that the main filter is going to drop. It does not see what
	// ended earlier: malformed packets, all TSMP but rejections, echo responses
	// that were consumed, and own disco packets. It sees each packet once,
	// when it comes: a fragment that is held back, see Write, before that.
	PreFilterIn FilterFunc
	// PostFilterIn sees each inbound packet that the main filter accepted.
	// Its flow is open by then, also if the hook drops the packet. It sees
	// the fragments that were held for the first of their datagram behind
	// that one.
	PostFilterIn FilterFunc
	// PreFilterFromTunToNetstack is the first to see a packet from the host,
	// unless that is malformed, TSMP or an own disco packet, which are dropped
	// before. A userspace network stack takes the packets for its addresses
	// here.
	PreFilterFromTunToNetstack FilterFunc
	// PreFilterFromTunToEngine sees what the first accepted, before the main
	// filter does. An engine takes the packets for itself here.
	PreFilterFromTunToEngine FilterFunc
	// PostFilterOut sees each packet from the host that the main filter
	// accepted.
	PostFilterOut FilterFunc
	// OnTSMPPongReceived is called with each TSMP pong that arrives.
	OnTSMPPongReceived func(packet.TSMPPongReply)
	// OnICMPEchoResponseReceived is called with each ICMP echo response that
	// arrives, before any filter. If it returns true, it has consumed the
	// packet. The Parsed is not to be kept.
	OnICMPEchoResponseReceived func(*packet.Parsed) bool
	// PeerAPIPort returns the port on which the peer API of the local address
	// listens. A TCP SYN to it is let in even where no rule allows it, but not
	// from a jailed peer, nor to an address that is not local.
	PeerAPIPort func(netip.Addr) (port uint16, ok bool)

	logf logger.Logf
	dev  tun.Device // as Wrap got it
	ip   tun.Device // carries IP packets: dev, its direct form, or the TAP adaptor on dev

	configMu  sync.Mutex // serialises changes of config
	config    atomic.Pointer[config]
	lateHooks lateHooks

	readMu sync.Mutex // held by the one Read that is going on; guards inbox, but its local counters
	inbox  inbox

	host    hostread.Reader
	queue   *inject.Queue
	replies inject.ReplyLimit // of what peers provoke
	events  events
	linkIO  linkErrors

	pool      pool // batches for inbound packets
	fragments *fragqueue.Queue

	flows      *accounting.Flows
	snapshotMu sync.Mutex              // held during Flows
	drops      accounting.DropCounters // outbound, outside of batches
	activity   accounting.Activity

	mistakes mistakes

	heard     atomic.Bool   // Write was called with packets
	closed    atomic.Bool   // set by Close, before done
	done      chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error // written inside closeOnce
}

var _ tun.Device = (*Wrapper)(nil)

// Wrap returns a Wrapper on dev, which it owns from then on: Close closes it.
// A nil logf logs nothing. Until SetFilter is called, every packet is
// dropped, but what is injected or taken by a hook. Nothing reads from dev
// before the first Read.
//
// Three mistakes that lose packets without an error get one log line each when
// they do: no filter was ever set, the filter has no local addresses, and the
// other side does not run: packets are injected and Read is never called, or
// packets go to WireGuard for five seconds and none comes from it, as when
// wireguard-go's device was never brought up.
//
// A device that can be interrupted, such as New's on Linux and wireguard-go's
// own there, is read straight into the buffers of Read's caller, as many
// packets at once as are ready. Any other is read ahead by a goroutine, from
// the first Read on.
func Wrap(logf logger.Logf, dev tun.Device) *Wrapper {
	if d, ok := tundev.AsDirect(logf, dev); ok {
		w := wrap(logf, dev, d)
		w.readFrom(hostread.NewDirect(d, w.done, w.logf))
		return w
	}
	return wrapAhead(logf, dev, dev)
}

// WrapTAP is Wrap for an Ethernet device. The Wrapper strips and adds
// Ethernet headers, and answers the host's ARP requests and IPv6 neighbour
// solicitations for every address but the host's own, so that the host can
// send to any peer. The host's addresses have to be configured on the device;
// the Wrapper is no DHCP server.
func WrapTAP(logf logger.Logf, dev tun.Device) *Wrapper {
	return wrapAhead(logf, dev, tundev.TAP(dev))
}

// wrapAhead makes a Wrapper that reads ip ahead.
func wrapAhead(logf logger.Logf, dev, ip tun.Device) *Wrapper {
	w := wrap(logf, dev, ip)
	w.readFrom(hostread.NewAhead(ip, PacketStartOffset, w.done, w.logf))
	return w
}

// wrap makes a Wrapper that reads from nowhere: readFrom completes it.
func wrap(logf logger.Logf, dev, ip tun.Device) *Wrapper {
	if logf == nil {
		logf = logger.Discard
	}
	w := &Wrapper{
		logf:      logf,
		dev:       dev,
		ip:        ip,
		flows:     accounting.NewFlows(),
		fragments: fragqueue.New(PacketStartOffset),
		done:      make(chan struct{}),
	}
	w.config.Store(new(config))
	w.events.init(ip.Events, w.done)
	w.activity.Begin(clock.Now())
	return w
}

func (w *Wrapper) readFrom(host hostread.Reader) {
	w.host = host
	w.queue = inject.NewQueue(host.Wake)
}

// Unwrap returns the device that Wrap was given. The Wrapper still owns it.
func (w *Wrapper) Unwrap() tun.Device { return w.dev }

// File returns the device's file, or nil if it has none. The device owns it: it
// is closed with the device.
func (w *Wrapper) File() *os.File { return w.dev.File() }

// MTU returns the device's MTU in bytes. After Close that is the last known one,
// as far as the device tells; those of package tundev do.
func (w *Wrapper) MTU() (int, error) {
	mtu, err := w.ip.MTU()
	return mtu, w.orClosed(err)
}

// Name returns the device's current name. After Close it is as with MTU.
func (w *Wrapper) Name() (string, error) {
	name, err := w.dev.Name()
	return name, w.orClosed(err)
}

// BatchSize returns the number of packets that Read and Write best take in
// one call. It is constant.
func (w *Wrapper) BatchSize() int { return w.ip.BatchSize() }

// Close closes the device and ends everything that the Wrapper started. It
// wakes blocked readers, refuses injectors and releases what they queued. It
// may be called at any time, any number of times, and also from a hook;
// calls after the first return its result.
func (w *Wrapper) Close() error {
	w.closeOnce.Do(func() {
		w.closed.Store(true)
		close(w.done)
		w.drops.Add(filter.ReasonClosed, w.queue.Close())
		w.logOrphans(w.fragments.Close(), clock.Now())
		w.closeErr = w.closeDevice()
		w.events.close()
		w.discardUnread()
	})
	return w.closeErr
}

// closeDevice closes the device and waits, but not for ever, until nothing of
// the Wrapper runs in it any more.
func (w *Wrapper) closeDevice() error {
	closed := make(chan error, 1)
	go func() { closed <- w.ip.Close() }()
	timeout := time.NewTimer(closeWait)
	defer timeout.Stop()
	select {
	case err := <-closed:
		return errors.Join(err, w.host.Close(closeWait))
	case <-timeout.C:
		return fmt.Errorf("tstun: close: the device's Close did not return within %v", closeWait)
	}
}

func (w *Wrapper) isClosed() bool { return w.closed.Load() }
