package wgquick_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"
)

// needWg skips a test where wg and wg-quick are not there, or may not be used.
func needWg(t *testing.T) {
	t.Helper()
	for _, program := range []string{"wg", "wg-quick", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s, which Debian has in wireguard-tools: %v", program, err)
		}
	}
	if _, err := os.Stat("/etc/services"); err != nil {
		t.Skipf("no names of services, which Debian has in netbase: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a socket in /var/run/wireguard")
	}
}

// readFiles reads files with the functions of wg-quick itself, and prints what
// these leave. Left out are the end of wg-quick, which acts on its arguments,
// and whatever starts a process, which would take most of the time: the two
// lines that ask for a file's links and mode; and die only notes that it was
// called.
const readFiles = `
source <(sed -e '/function override insertion point/,$d' -e '/="$(readlink -f "$CONFIG_FILE/d' -e '/stat -c/d' "$(command -v wg-quick)")
set +e
die() { died="$*"; }
for file; do
	ADDRESSES=() DNS=() DNS_SEARCH=() PRE_UP=() POST_UP=() PRE_DOWN=() POST_DOWN=() MTU="" TABLE="" SAVE_CONFIG=0 INTERFACE="" WG_CONFIG="" died=""
	parse_options "$file"
	for v in "${ADDRESSES[@]}"; do printf 'address %s\0' "$v"; done
	for v in "${DNS[@]}"; do printf 'dns %s\0' "$v"; done
	for v in "${DNS_SEARCH[@]}"; do printf 'search %s\0' "$v"; done
	for v in "${PRE_UP[@]}"; do printf 'PreUp %s\0' "$v"; done
	for v in "${POST_UP[@]}"; do printf 'PostUp %s\0' "$v"; done
	for v in "${PRE_DOWN[@]}"; do printf 'PreDown %s\0' "$v"; done
	for v in "${POST_DOWN[@]}"; do printf 'PostDown %s\0' "$v"; done
	printf 'mtu %s\0table %s\0save %s\0name %s\0' "$MTU" "$TABLE" "$SAVE_CONFIG" "$INTERFACE"
	printf 'died %s\0stripped %s\0\0' "$died" "$WG_CONFIG"
done`

// quickFile is what wg-quick makes of a file.
type quickFile struct {
	read     []string
	stripped string
	// err is what it said if it refused the file.
	err string
}

func readByWgQuick(t *testing.T, paths []string) []quickFile {
	t.Helper()
	out, err := exec.Command("bash", append([]string{"-c", readFiles, "wg-quick"}, paths...)...).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var read []quickFile
	for file := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00\x00"), "\x00\x00") {
		words := strings.Split(file, "\x00")
		n := len(words) - 2
		read = append(read, quickFile{words[:n], strings.TrimPrefix(words[n+1], "stripped "), strings.TrimPrefix(words[n], "died ")})
	}
	if len(read) != len(paths) {
		t.Fatalf("%d of %d files read", len(read), len(paths))
	}
	return read
}

// wgDevice is a device of wireguard-go that wg can set.
type wgDevice struct {
	*device.Device
	name, dir string
}

// startWg starts a device with a socket for wg.
func startWg(t *testing.T) *wgDevice {
	t.Helper()
	needWg(t)
	name := fmt.Sprintf("tsq%d", os.Getpid())
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := ipc.UAPIListen(name, file)
	if err != nil {
		t.Fatal(err)
	}
	w := &wgDevice{device.NewDevice(newIdleTUN(), conn.NewDefaultBind(), &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf}), name, t.TempDir()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			w.IpcHandle(c)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close() // reports the socket that it removed itself
		<-done
		_ = file.Close() // likewise
		w.Close()
	})
	return w
}

// setconf gives a file to wg, and returns what the device has then, or what wg
// said if it refused the file.
func (w *wgDevice) setconf(t *testing.T, text string) (state, refusal string) {
	t.Helper()
	w.set(t, "private_key="+strings.Repeat("0", 64)+"\nlisten_port=9\nfwmark=9\nreplace_peers=true\n")
	path := filepath.Join(w.dir, "conf")
	writeFile(t, path, text)
	cmd := exec.Command("wg", "setconf", w.name, path)
	cmd.Env = append(os.Environ(), "WG_ENDPOINT_RESOLUTION_RETRIES=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", string(out) + err.Error()
	}
	return w.state(t), ""
}

func (w *wgDevice) set(t *testing.T, uapi string) {
	t.Helper()
	if err := w.IpcSet(uapi); err != nil {
		t.Fatalf("%v\n%s", err, uapi)
	}
}

// namedEndpoint is the endpoint of a host that has a name: 127.0.0.1 or ::1.
var namedEndpoint = regexp.MustCompile(`endpoint=(localhost|127\.0\.0\.1|\[::1\]):`)

// state returns what the device has, in one order.
func (w *wgDevice) state(t *testing.T) string {
	t.Helper()
	text, err := w.IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	text = namedEndpoint.ReplaceAllString(text, "endpoint=localhost:")
	peers := strings.Split(text, "public_key=")
	for i, p := range peers {
		lines := strings.Split(strings.TrimSuffix(p, "\n"), "\n")
		slices.Sort(lines[1:])
		peers[i] = strings.Join(lines, "\n")
	}
	slices.Sort(peers[1:])
	return strings.Join(peers, "\npublic_key=")
}

// idleTUN is a device that never comes up, so that no socket is opened.
type idleTUN struct {
	events chan tun.Event
	closed chan struct{}
}

func newIdleTUN() *idleTUN { return &idleTUN{make(chan tun.Event), make(chan struct{})} }

func (d *idleTUN) Read([][]byte, []int, int) (int, error) {
	<-d.closed
	return 0, os.ErrClosed
}
func (d *idleTUN) Write(bufs [][]byte, _ int) (int, error) { return len(bufs), nil }
func (d *idleTUN) File() *os.File                          { return nil }
func (d *idleTUN) MTU() (int, error)                       { return 1420, nil }
func (d *idleTUN) Name() (string, error)                   { return "idle", nil }
func (d *idleTUN) Events() <-chan tun.Event                { return d.events }
func (d *idleTUN) BatchSize() int                          { return 1 }
func (d *idleTUN) Close() error {
	close(d.closed)
	close(d.events)
	return nil
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
