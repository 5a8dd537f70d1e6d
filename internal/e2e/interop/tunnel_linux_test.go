package interop_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"tstun/key"
)

// emulatedEnv is set in a machine whose clock goes on at once when all sleep.
const emulatedEnv = "EMULATED"

// Each end begins the handshake, the other not knowing where it is; then pings,
// TCP and UDP go both ways over both IP versions, and wg says the same at both
// ends.
func TestTraffic(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		for name, at := range map[string]struct{ ours, theirs string }{
			"we begin": {theyAreAt, ""}, "the kernel begins": {"", weAreAt},
		} {
			t.Run(name, func(t *testing.T) {
				l := newLab(t)
				psk := "\nPresharedKey = " + key.NewPreshared().Reveal()
				ways, args := l.ways(mode)
				l.startTheirs(psk + at.theirs)
				l.startOurs(mode, psk+at.ours, args...)
				l.begin(mode, at.theirs == "")
				l.theirs.ping("10.9.0.1")
				l.theirs.ping("fd09::1")
				if mode == "kernel" {
					l.ours.ping("10.9.0.2")
					l.ours.ping("fd09::2")
				}
				for _, w := range ways {
					w.moveTCP(t)
					w.echoUDP(t)
				}
				if mode == "kernel" {
					l.wantAgreement(t)
				}
			})
		}
	})
}

// begin has one end send the first packet.
func (l *lab) begin(mode string, we bool) {
	l.t.Helper()
	switch {
	case !we:
		l.theirs.reaches("10.9.0.1")
	case mode == "kernel":
		l.ours.reaches("10.9.0.2")
	default:
		ways, _ := l.ways(mode)
		ways[0].echoUDP(l.t)
	}
}

// With another preshared key there is no handshake, and with the right one there
// is.
func TestPresharedKey(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		l := newLab(t)
		psk := key.NewPreshared().Reveal()
		l.startTheirs("\nPresharedKey = " + key.NewPreshared().Reveal() + weAreAt)
		l.startOurs(mode, "\nPresharedKey = "+psk+theyAreAt)
		l.theirs.reachesNot("10.9.0.1")
		if _, p := l.theirs.dump(theirDev); p.handshake != 0 || p.received != 0 {
			t.Errorf("with another key: %+v", p)
		}
		l.theirs.run("wg set " + theirDev + " peer " + l.keys[0].Public().String() + " preshared-key " + l.file("psk", psk))
		l.theirs.reaches("10.9.0.1")
	})
}

// Keepalives of either end have a handshake made, and go on, while nobody sends.
func TestKeepalive(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		for name, lines := range map[string]struct{ ours, theirs string }{
			"ours": {theyAreAt + "\nPersistentKeepalive = 1", ""}, "the kernel's": {"", weAreAt + "\nPersistentKeepalive = 1"},
		} {
			t.Run(name, func(t *testing.T) {
				l := newLab(t)
				l.startTheirs(lines.theirs)
				l.startOurs(mode, lines.ours)
				moved := func(p peerLine) int64 { return p.received }
				if lines.ours == "" {
					moved = func(p peerLine) int64 { return p.sent }
				}
				const handshake, keepalive = 148, 32 // bytes at most, WireGuard paper §5.4
				eventually(t, "three keepalives", func() (string, bool) {
					_, p := l.theirs.dump(theirDev)
					return fmt.Sprintf("%+v", p), p.handshake != 0 && moved(p) >= handshake+3*keepalive
				})
			})
		}
	})
}

// Whichever end moves to another address, the other end learns it from the next
// packet.
func TestRoaming(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		l := newLab(t)
		l.startTheirs("")
		l.startOurs(mode, theyAreAt+"\nPersistentKeepalive = 1")
		l.theirs.reaches("10.9.0.1")
		move := func(h *host, from, to string) {
			h.run("ip addr del " + from + " dev eth0")
			h.addrs("eth0", to)
		}

		move(l.theirs, "192.0.2.2/24", "192.0.2.3/24")
		l.theirs.reaches("10.9.0.1")
		if mode == "kernel" {
			if _, p := l.ours.dump(ourDev); p.endpoint != "192.0.2.3:51820" {
				t.Errorf("the kernel moved: we have it at %s", p.endpoint)
			}
		}
		move(l.ours, "192.0.2.1/24", "192.0.2.4/24")
		eventually(t, "we moved", func() (string, bool) {
			_, p := l.theirs.dump(theirDev)
			return p.endpoint, p.endpoint == "192.0.2.4:51820"
		})
		l.theirs.reaches("10.9.0.1")
	})
}

// With new keys after REKEY_AFTER_TIME, 120 s, nothing is lost; after five
// minutes without a cable packets pass again.
func TestRekeyAndOutage(t *testing.T) {
	if os.Getenv(emulatedEnv) == "" {
		t.Skipf("takes 15 minutes: needs the kernel's WireGuard in a machine whose clock need not wait, or %s=1", emulatedEnv)
	}
	modes(t, func(t *testing.T, mode string) {
		l := newLab(t)
		l.startTheirs("")
		l.startOurs(mode, theyAreAt+"\nPersistentKeepalive = 25")
		l.theirs.reaches("10.9.0.1")
		_, before := l.theirs.dump(theirDev)
		if out, err := l.theirs.try("ping", "-n", "-c", "15", "-i", "10", "-W", "10", "10.9.0.1"); err != nil || !strings.Contains(out, " 0% packet loss") {
			t.Errorf("%v", err)
		}
		if _, after := l.theirs.dump(theirDev); after.handshake-before.handshake < 100 {
			t.Errorf("the handshake is of %d, and was of %d", after.handshake, before.handshake)
		}
		l.theirs.run("ip link set eth0 down")
		time.Sleep(5 * time.Minute)
		l.theirs.run("ip link set eth0 up")
		l.theirs.reaches("10.9.0.1")
	})
}

// wg changes our end while it runs.
func TestSetByWG(t *testing.T) {
	l := newLab(t)
	l.startTheirs("")
	l.startOurs("kernel", theyAreAt)
	l.ours.reaches("10.9.0.2")
	peer := "wg set " + ourDev + " peer " + l.keys[1].Public().String()
	psk := l.file("psk", key.NewPreshared().Reveal())

	l.ours.run(peer + " remove")
	l.ours.reachesNot("10.9.0.2")
	l.ours.run(peer + " allowed-ips 10.9.0.2/32,fd09::2/128 endpoint 192.0.2.2:51820 preshared-key " + psk)
	l.ours.reachesNot("10.9.0.2")
	l.theirs.run("wg set " + theirDev + " peer " + l.keys[0].Public().String() + " preshared-key " + psk)
	l.ours.reaches("10.9.0.2")
	l.ours.run("wg set " + ourDev + " listen-port 51821")
	l.ours.reaches("10.9.0.2")
	if _, p := l.theirs.dump(theirDev); p.endpoint != "192.0.2.1:51821" {
		t.Errorf("on another port: the kernel has us at %s", p.endpoint)
	}
	out := l.ours.run("wg showconf " + ourDev)
	for _, line := range []string{"ListenPort = 51821", "PrivateKey = " + l.keys[0].Reveal(), "AllowedIPs = 10.9.0.2/32, fd09::2/128"} {
		if !strings.Contains(out, line) {
			t.Errorf("wg showconf has no %q", line)
		}
	}
}

// Through a cable for jumbo frames go packets of 8920 bytes, uncut.
func TestLargeMTU(t *testing.T) {
	l := newLab(t)
	for _, h := range []*host{l.ours, l.theirs} {
		h.run("ip link set eth0 mtu 9000")
	}
	l.theirs.run("ip link set " + theirDev + " mtu 8920")
	l.startTheirs("")
	l.startOurs("kernel", theyAreAt)
	const overhead = 28 // RFC 791, RFC 792: headers
	for _, p := range []struct {
		from *host
		to   string
	}{{l.ours, "10.9.0.2"}, {l.theirs, "10.9.0.1"}} {
		p.from.ping(p.to, "-M", "do", "-s", fmt.Sprint(8920-overhead))
		if out, err := p.from.try("ping", "-c", "1", "-M", "do", "-s", fmt.Sprint(8921-overhead), p.to); err == nil {
			t.Errorf("a packet of 8921 bytes: %s", out)
		}
	}
	ways, _ := l.ways("kernel")
	for _, w := range ways {
		w.moveTCP(t)
	}
	l.wantAgreement(t)
}
