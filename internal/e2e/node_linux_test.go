package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/netns"
	"tstun/ipproto"
)

// What a node can be.
const (
	bare    = "bare"    // wireguard-go with a TUN of its own
	wrapped = "wrapped" // wireguard-go with a TUN of tstun.New's, wrapped
)

// nodeVariable is the environment variable that makes this program a node, and
// has its spec in JSON.
const nodeVariable = "TSTUN_E2E_NODE"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(nodeVariable)
	if !ok {
		os.Exit(m.Run())
	}
	if err := runNode(text, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

// nodeSpec is one end of a tunnel.
type nodeSpec struct {
	Kind     string
	Device   string     // name of the TUN
	Address  netip.Addr // in the tunnel
	Key      string     // private, hex
	PeerKey  string     // hex
	Port     int        // UDP, of this end
	Endpoint netip.AddrPort
}

// runNode is one end of a tunnel until in ends. It writes a line to out when
// it is up.
func runNode(text string, in io.Reader, out io.Writer) error {
	var s nodeSpec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	dev, err := s.open()
	if err != nil {
		return err
	}
	wg := device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	defer wg.Close()
	err = wg.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%s\nallowed_ip=0.0.0.0/0\n",
		s.Key, s.Port, s.PeerKey, s.Endpoint))
	if err != nil {
		return err
	}
	if err := wg.Up(); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "up"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

func (s *nodeSpec) open() (tun.Device, error) {
	if s.Kind == bare {
		return tun.CreateTUN(s.Device, tstun.DefaultMTU)
	}
	dev, _, err := tstun.New(nil, s.Device)
	if err != nil {
		return dev, err
	}
	f, err := filter.New(filter.Config{
		Matches: []filter.Match{{
			IPProto: []ipproto.Proto{ipproto.UDP},
			Srcs:    []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
			Dsts:    []filter.NetPortRange{{Net: netip.PrefixFrom(s.Address, 32), Ports: filter.AllPorts}},
		}},
		Local: []netip.Prefix{netip.PrefixFrom(s.Address, 32)},
	})
	if err != nil {
		dev.Close()
		return nil, err
	}
	w := tstun.Wrap(nil, dev)
	w.SetFilter(f)
	w.SetStatisticsEnabled(true)
	return w, nil
}

// node is a process that is one end of a tunnel.
type node struct {
	pid int
}

// startNode starts a process in ns, which ends with the test, and waits until
// it is up.
func startNode(t *testing.T, ns *netns.NS, s nodeSpec) node {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), nodeVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 2 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("%s node said %q: %v", s.Kind, line, err)
	}
	return node{cmd.Process.Pid}
}

// switches returns how often the kernel has taken a processor away from the
// node's threads, voluntarily and not.
func (n node) switches(t *testing.T) (total int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", n.pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of %d: %d, %v", n.pid, len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			if !strings.HasSuffix(name, "voluntary_ctxt_switches") {
				continue
			}
			v, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			total += v
		}
	}
	return total
}
