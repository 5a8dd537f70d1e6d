package tunnel

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// program is tstun up, as an end of a tunnel.
type program struct {
	cmd    *exec.Cmd
	dir    string // of its files
	log    bytes.Buffer
	ended  chan struct{}
	began  time.Time
	isUp   func() bool // whether its sockets can be had
	passes func() bool // whether a packet came back through the tunnel
}

// firstWait is how long a program may take to its first packet.
const firstWait = 20 * time.Second

func (n *node) makeUp() error {
	to := netip.AddrPortFrom(n.spec.Peer, echoPort)
	n.program = &program{isUp: func() bool { return hasRoute(to) }, passes: func() bool { return echoed(to) }}
	return n.program.start(n.spec, "--mode", "kernel")
}

func (n *node) makeUserspace() error {
	to := netip.AddrPortFrom(n.spec.Peer, sourcePort)
	n.program = &program{isUp: socksListens, passes: func() bool { return fetched(to) }}
	return n.program.start(n.spec, "--mode", "userspace", "--socks5", socksAddress)
}

// start runs tstun up with the files for it and further arguments, and waits
// until it is up.
func (p *program) start(spec *nodeSpec, args ...string) (err error) {
	if p.dir, err = os.MkdirTemp("", "tstun-bench-"); err != nil {
		return err
	}
	p.ended = make(chan struct{})
	config, policy := filepath.Join(p.dir, spec.Device+".conf"), filepath.Join(p.dir, "policy.hujson")
	if err := errors.Join(os.WriteFile(config, spec.wgQuick(), 0o600), os.WriteFile(policy, spec.setup().Policy(), 0o600)); err != nil {
		return err
	}
	p.cmd = exec.Command(spec.Program, append([]string{"up", config, "--policy", policy}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		close(p.ended)
		return err
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	return p.await("it is not up", p.isUp)
}

// wgQuick returns the configuration as a file.
func (s *nodeSpec) wgQuick() []byte {
	key := func(text string) string {
		raw, _ := hex.DecodeString(text)
		return base64.StdEncoding.EncodeToString(raw)
	}
	return fmt.Appendf(nil, `[Interface]
PrivateKey = %s
Address = %v
ListenPort = %d
MTU = %d

[Peer]
PublicKey = %s
AllowedIPs = %v/32
Endpoint = %v
`, key(s.PrivateKey), s.Address, s.Port, s.MTU, key(s.PeerKey), s.Peer, s.Endpoint)
}

// firstPacket waits until a packet came back through the tunnel, and says how
// long after the start of the program that was.
func (p *program) firstPacket() (reply, error) {
	err := p.await("no packet passes through the tunnel", p.passes)
	return reply{First: time.Since(p.began)}, err
}

// await asks done until it says so.
func (p *program) await(not string, done func() bool) error {
	for time.Since(p.began) < firstWait {
		if done() {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("tstun up ended: %s", &p.log)
		case <-time.After(lookAgain):
		}
	}
	return fmt.Errorf("tstun up: %s within %v", not, firstWait)
}

// end ends the program in order, and removes its files.
func (p *program) end() {
	defer os.RemoveAll(p.dir)
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(endWait):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// proc returns a file of proc_pid(5).
func (p *program) proc(name string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name))
	return string(b)
}

// usage returns what the program has used, in ticks of 10 ms (USER_HZ).
func (p *program) usage() usage {
	const tick = 10 * time.Millisecond
	_, rest, _ := strings.Cut(p.proc("stat"), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return usage{}
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64) // field 14 of proc_pid_stat(5)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return usage{CPU: time.Duration(user+system) * tick}
}

// memory returns what the program has resident.
func (p *program) memory() (r reply, err error) {
	for line := range strings.Lines(p.proc("status")) {
		if size, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 10, 64)
			return reply{Bytes: kib << 10}, err
		}
	}
	return r, errors.New("the program's memory is not known")
}

const (
	lookAgain = time.Millisecond     // between two questions whether it is time
	attempt   = 5 * time.Millisecond // for a packet to come back before another is sent
)

// hasRoute reports whether packets to the address have a way.
func hasRoute(to netip.AddrPort) bool {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// socksListens reports whether the SOCKS5 server accepts connections.
func socksListens() bool {
	c, err := net.Dial("tcp4", socksAddress)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// echoed reports whether a UDP packet to an echo program comes back.
func echoed(to netip.AddrPort) bool {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return false
	}
	defer c.Close()
	_, _ = c.Write([]byte("?"))
	_ = c.SetReadDeadline(time.Now().Add(attempt))
	n, err := c.Read(make([]byte, 1))
	return n == 1 && err == nil
}

// fetched reports whether a byte comes through the SOCKS5 server.
func fetched(from netip.AddrPort) bool {
	c, err := throughSOCKS(from, firstWait)
	if err != nil {
		return false
	}
	defer c.Close()
	_, err = io.ReadFull(c, make([]byte, 1))
	return err == nil
}
