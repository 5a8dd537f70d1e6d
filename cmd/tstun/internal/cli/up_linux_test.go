package cli_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tstun/internal/netns"
	"tstun/key"
)

func base64Of(raw [32]byte) string { return base64.StdEncoding.EncodeToString(raw[:]) }

// SIGINT and SIGTERM end it as they should, also when they come twice at once,
// as timeout(1) has it.
func TestUpEnds(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			f := newUpFiles(t, "wg0", 0)
			r := startUp(t, nil, nil, f.path("wg0.conf"), "--mode", "userspace", "--socks5", "0")
			at, _ := r.await(t, 0, "SOCKS5 listens")
			r.signal(t, sig)
			r.signal(t, sig)
			r.exit(t, exitOK)
			if c, err := net.Dial("tcp", at.Address); err == nil {
				c.Close()
				t.Error("the proxy still listens")
			}
		})
	}
}

// What is up is said: which mode and why, that nothing is refused without a
// policy, and where what listens.
func TestUpSays(t *testing.T) {
	f := newUpFiles(t, "wg0", 0)
	r := startUp(t, nil, nil, f.path("wg0.conf"), "--mode", "userspace", "--http-proxy", "0", "--forward", "tcp:0=10.77.0.2:80", "--expose", "udp:53=127.0.0.1:53")
	r.await(t, 0, "no policy: all that the allowed IPs admit is accepted")
	r.await(t, 0, "tunnel wg0 is up in userspace mode, since it was asked for")
	if up, _ := r.await(t, 0, "the tunnel runs"); up.ListenPort == 0 || up.Mode != "userspace" || len(up.Addresses) != 1 || up.Addresses[0] != "10.77.0.1/24" {
		t.Errorf("%+v", up)
	}
	r.await(t, 0, "HTTP proxy listens")
	r.await(t, 0, "forward to 10.77.0.2:80 listens")
	r.await(t, 0, "expose to 127.0.0.1:53 listens")
	r.ends(t)

	alone := startUp(t, nil, nil, f.path("wg0.conf"), "--mode", "userspace")
	alone.await(t, 0, "no program can use this tunnel")
	alone.ends(t)
}

// A port that is taken is said, whichever it is, and nothing stays.
func TestUpPortInUse(t *testing.T) {
	busy, err := net.ListenUDP("udp", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := busy.LocalAddr().(*net.UDPAddr).Port
	f := newUpFiles(t, "wg0", 0)
	text, err := os.ReadFile(f.path("wg0.conf"))
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "wg1.conf", strings.Replace(string(text), "[Peer]", fmt.Sprintf("ListenPort = %d\n[Peer]", port), 1))
	r := startUp(t, nil, nil, f.path("wg1.conf"), "--mode", "userspace")
	r.exit(t, exitFailed)
	r.await2(t, fmt.Sprintf("error: tunnel wg1 did not start: listen on UDP port %d: ", port), fmt.Sprintf("hint: another program has UDP port %d", port))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r = startUp(t, nil, nil, f.path("wg0.conf"), "--mode", "userspace", "--socks5", l.Addr().String())
	r.exit(t, exitFailed)
	r.await2(t, "error: --socks5: listen tcp "+l.Addr().String(), "hint: another program listens there")
	if strings.Contains(r.said(), "is up") {
		t.Errorf("it was up:\n%s", r.said())
	}
}

// await2 wants lines that have these texts.
func (r *upRun) await2(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.said(), text) {
			t.Errorf("no %q in:\n%s", text, r.said())
		}
	}
}

// A required peer is waited for by systemd alone: the proxies are there, and
// READY=1 comes with the handshake. Then WATCHDOG=1 goes on, a reload says so,
// and so does the end.
func TestUpNotifies(t *testing.T) {
	manager := newManager(t)
	f := newUpFiles(t, "wg0", 0)
	f.write(t, "policy.hujson", policyFor(80))
	r := startUp(t, nil, func(c *exec.Cmd) {
		c.Env = append(c.Env, "NOTIFY_SOCKET="+manager.path, "WATCHDOG_USEC=100000")
	}, f.path("wg0.conf"), "--mode", "userspace", "--socks5", "0", "--metrics", "0", "--require", "office", "--policy", f.path("policy.hujson"))
	at, _ := r.await(t, 0, "SOCKS5 listens")
	r.await(t, 0, "waiting for a handshake with peer office")
	c, err := net.Dial("tcp", at.Address)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	manager.await(t, "WATCHDOG=1\nSTATUS=wg0 in userspace mode, 0 of 1 peers up")
	metrics, _ := r.await(t, 0, "metrics listens")
	if status := getStatus(t, metrics.Address, "/readyz"); manager.had("READY=1") || status != http.StatusServiceUnavailable {
		t.Error("ready without the peer; /readyz:", status)
	}

	up, _ := r.await(t, 0, "the tunnel runs")
	f.office(t, fmt.Sprintf("127.0.0.1:%d", up.ListenPort))
	manager.await(t, "READY=1\nSTATUS=wg0 in userspace mode, 1 of 1 peers up")
	for _, path := range []string{"/readyz", "/healthz", "/metrics"} {
		if status := getStatus(t, metrics.Address, path); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	manager.await(t, "WATCHDOG=1\nSTATUS=wg0 in userspace mode, 1 of 1 peers up")

	f.write(t, "policy.hujson", policyFor(443))
	r.signal(t, unix.SIGHUP)
	manager.await(t, "RELOADING=1\nMONOTONIC_USEC=")
	manager.await(t, "READY=1\n")
	r.signal(t, unix.SIGTERM)
	manager.await(t, "STOPPING=1\nSTATUS=")
	r.exit(t, exitOK)
}

func getStatus(t *testing.T, at, path string) int {
	t.Helper()
	client := &http.Client{Timeout: inTime}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + at + path)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// A file that is wrong changes nothing when it is read again, and what is wrong
// is logged with its place.
func TestUpReloads(t *testing.T) {
	f := newUpFiles(t, "wg0", 0)
	f.write(t, "policy.hujson", policyFor(80))
	r := startUp(t, nil, nil, f.path("wg0.conf"), "--mode", "userspace", "--socks5", "0", "--policy", f.path("policy.hujson"))
	_, n := r.await(t, 0, "SOCKS5 listens")
	good, err := os.ReadFile(f.path("wg0.conf"))
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "wg0.conf", string(good)+"Bogus = 1\n")
	r.signal(t, unix.SIGHUP)
	rec, n := r.await(t, n, "reload refused, what was in force stays: ")
	if !strings.Contains(rec.Msg, "wg0.conf:9:1: Bogus: a key that neither wg nor wg-quick knows") || rec.Level != "ERROR" {
		t.Errorf("%+v", rec)
	}
	f.write(t, "wg0.conf", string(good)+"[Peer]\n# Name = second\nPublicKey = "+key.NewPrivate().Public().String()+"\n")
	f.write(t, "policy.hujson", "{")
	r.signal(t, unix.SIGHUP)
	rec, n = r.await(t, n, "reload refused, what was in force stays: ")
	if !strings.Contains(rec.Msg, "policy.hujson:1:") {
		t.Errorf("%+v", rec)
	}
	f.write(t, "policy.hujson", policyFor(443))
	r.signal(t, unix.SIGHUP)
	rec, n = r.await(t, n, "reload: ")
	if !strings.Contains(rec.Msg, "second") {
		t.Errorf("%+v", rec)
	}
	r.await(t, n, "policy.hujson is in force: 1 rule")
	r.ends(t)
}

// No core is written of the process, and no other one of its user reads its
// memory: what is not dumpable has root's files in /proc.
func TestUpWritesNoCore(t *testing.T) {
	f := newUpFiles(t, "wg0", 0)
	change := func(*exec.Cmd) {}
	if os.Getuid() == 0 { // as a user, or nothing is to be seen
		change = asNobody(t, f)
	}
	r := startUp(t, nil, change, f.path("wg0.conf"), "--mode", "userspace", "--socks5", "0")
	r.await(t, 0, "SOCKS5 listens")
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", r.cmd.Process.Pid))
	if err != nil || !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("%v\n%s", err, limits)
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
		t.Errorf("its memory is user %d's", owner)
	}
	r.ends(t)
}

const nobody = 65534

// asNobody has a command run as a user, who owns the files.
func asNobody(t *testing.T, f *upFiles) func(*exec.Cmd) {
	t.Helper()
	tool, err := os.Open(lookPath(t, "tstun")) // in a directory that is root's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tool.Close() })
	if err := os.Chmod(filepath.Dir(f.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chown(f.path(e.Name()), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return func(c *exec.Cmd) {
		c.Path, c.ExtraFiles = "/proc/self/fd/3", []*os.File{tool}
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Kernel mode without the right to it is refused, and says what else works.
// Auto mode then takes userspace, and says why.
func TestUpWithoutRights(t *testing.T) {
	f := newUpFiles(t, "wg0", 0)
	change := func(*exec.Cmd) {}
	if os.Getuid() == 0 {
		change = asNobody(t, f)
	}
	r := startUp(t, nil, change, f.path("wg0.conf"), "--mode", "kernel", "--state-dir", f.path("no/state"))
	r.exit(t, exitFailed)
	r.await2(t, "error: tunnel wg0 did not start: ", "hint: run it as root, or with CAP_NET_ADMIN; --mode userspace needs no right")

	r = startUp(t, nil, change, f.path("wg0.conf"), "--socks5", "0", "--state-dir", f.path("no/state"))
	up, _ := r.await(t, 0, "tunnel wg0 is up in userspace mode, since ")
	if !strings.Contains(up.Msg, "CAP_NET_ADMIN") && !strings.Contains(up.Msg, "/dev/net/tun") {
		t.Errorf("it does not say why: %s", up.Msg)
	}
	r.ends(t)
}

// No secret shows in what others see: the output, the arguments, the
// environment, and the journal of the host's network.
func TestUpShowsNoSecret(t *testing.T) {
	f := newUpFiles(t, "tstunup1", 0)
	f.write(t, "credentials", "anna:correct-horse-battery\n")
	mode, ns, files := "userspace", (*netns.NS)(nil), []string{"cmdline", "comm"}
	if ok, err := condition("privileged"); err == nil && ok {
		mode, ns, files = "kernel", netns.New(t), append(files, "environ") // root alone may read the last
	}
	r := startUp(t, ns, nil, f.path("tstunup1.conf"), "--mode", mode, "--state-dir", f.path("state"), "--log-level", "debug", "--socks5", "0", "--proxy-credentials", f.path("credentials"))
	r.await(t, 0, "SOCKS5 listens")
	f.write(t, "tstunup1.conf", "PrivateKey = "+f.own.Reveal()+"\n")
	r.signal(t, unix.SIGHUP)
	r.await(t, 0, "reload refused")
	seen := []string{r.said()}
	for _, name := range files {
		seen = append(seen, contents(t, fmt.Sprintf("/proc/%d/%s", r.cmd.Process.Pid, name)))
	}
	journals, err := filepath.Glob(f.path("state/*"))
	if err != nil || mode == "kernel" && len(journals) == 0 {
		t.Errorf("journals: %v, %v", journals, err)
	}
	for _, j := range journals {
		if !strings.HasSuffix(j, ".sock") {
			seen = append(seen, contents(t, j))
		}
	}
	for _, path := range []string{"status", "events", "diagnose"} {
		seen = append(seen, asked(t, f.path("state/tstunup1.sock"), "/v1/"+path))
	}
	r.ends(t)
	seen = append(seen, r.said(), r.stdout.String())
	own, preshared := f.own.Raw32(), f.preshared.Raw32()
	for _, secret := range []string{base64Of(own), hex.EncodeToString(own[:]), base64Of(preshared), hex.EncodeToString(preshared[:]), "correct-horse"} {
		for _, text := range seen {
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Errorf("%.4s… is in:\n%s", secret, text)
			}
		}
	}
}

// asked returns the answer of a run's control socket.
func asked(t *testing.T, socket, path string) string {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	r, err := c.Get("http://tstun" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", path, r.Status, err, body)
	}
	return string(body)
}

func contents(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A thousand connections are open through SOCKS5 at once, and each carries its
// own bytes.
func TestUpThousandConnections(t *testing.T) {
	const connections = 1000
	f := newUpFiles(t, "wg0", 0)
	r := startUp(t, nil, nil, f.path("wg0.conf"), "--mode", "userspace", "--socks5", "0", "--require", "office")
	at, _ := r.await(t, 0, "SOCKS5 listens")
	up, _ := r.await(t, 0, "the tunnel runs")
	office := f.office(t, fmt.Sprintf("127.0.0.1:%d", up.ListenPort))
	l, err := office.Listen(t.Context(), "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go echo(l)

	conns, errs := make([]net.Conn, connections), make([]error, connections)
	all(connections, func(i int) { conns[i], errs[i] = throughSOCKS(at.Address) })
	all(connections, func(i int) {
		if errs[i] == nil {
			errs[i] = ask(conns[i], fmt.Sprintf("connection %4d", i))
		}
	})
	for i := range conns {
		if errs[i] != nil {
			t.Errorf("connection %d: %v", i, errs[i])
			break
		}
	}
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
	r.ends(t)
}

// all calls f for each number below n at once.
func all(n int, f func(i int)) {
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { f(i) })
	}
	running.Wait()
}

func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { io.Copy(c, c); c.Close() }()
	}
}

// throughSOCKS opens a connection to 10.77.0.2:80 (RFC 1928).
func throughSOCKS(at string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", at, inTime)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(deadline()); err != nil {
		return c, err
	}
	reply := make([]byte, 2+10)
	if _, err := c.Write([]byte{5, 1, 0, 5, 1, 0, 1, 10, 77, 0, 2, 0, 80}); err != nil {
		return c, err
	}
	if _, err := io.ReadFull(c, reply); err != nil {
		return c, err
	}
	if reply[1] != 0 || reply[3] != 0 {
		return c, fmt.Errorf("reply %v", reply)
	}
	return c, nil
}

// ask wants a text back.
func ask(c net.Conn, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("got %q, want %q", got, text)
	}
	return nil
}
