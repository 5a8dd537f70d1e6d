// Package layering holds the test that keeps each package to the imports that
// its place in the house allows.
package layering

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tstun"

// may lists what each package may import besides the standard library. A name
// stands for that package alone, a name with a trailing slash also for all
// below it.
var may = map[string][]string{
	"tstun": {
		"tstun/packet", "tstun/flow", "tstun/filter", "tstun/key", "tstun/logger", "tstun/netlogtype", "tstun/tundev",
		"tstun/internal/accounting", "tstun/internal/clock", "tstun/internal/deverr", "tstun/internal/fragqueue", "tstun/internal/hostread",
		"tstun/internal/inject", "tstun/internal/pipeline", "tstun/internal/prefetch",
		"golang.org/x/sys/cpu", "golang.zx2c4.com/wireguard/tun", "golang.zx2c4.com/wireguard/device",
		"gvisor.dev/gvisor/pkg/tcpip/stack",
	},
	"tstun/internal/pipeline":   {"tstun/filter", "tstun/flow", "tstun/packet", "tstun/ipproto", "tstun/key", "tstun/internal/lpm"},
	"tstun/internal/accounting": {"tstun/filter", "tstun/flow", "tstun/netlogtype", "tstun/ipproto"},
	"tstun/internal/fragqueue":  {"tstun/flow"},
	"tstun/internal/inject":     {"tstun/flow", "tstun/internal/gso", "tstun/ipproto", "gvisor.dev/gvisor/pkg/tcpip/stack"},
	"tstun/internal/hostread":   {"tstun/tundev", "tstun/packet", "tstun/internal/deverr", "tstun/logger", "golang.org/x/sys/cpu", "golang.zx2c4.com/wireguard/tun"},
	"tstun/packet":              {"tstun/ipproto", "tstun/key"},
	"tstun/flow":                {"tstun/packet", "tstun/ipproto", "tstun/internal/prefetch"},
	"tstun/filter":              {"tstun/packet", "tstun/flow", "tstun/ipproto", "tstun/logger", "tstun/internal/clock", "tstun/internal/lpm", "golang.org/x/time/rate"},
	"tstun/ipproto":             {},
	"tstun/key":                 {},
	"tstun/logger":              {},
	"tstun/netlogtype": {
		"tstun/ipproto",
	},
	"tstun/tundev": {
		"tstun/logger", "tstun/packet", "tstun/ipproto", "tstun/internal/gso", "tstun/internal/deverr", "tstun/internal/tunqueue",
		"golang.zx2c4.com/wireguard/tun", "golang.org/x/sys/",
		"github.com/mdlayher/ethtool", "github.com/vishvananda/netlink",
	},
	"tstun/flowexpr": {"tstun/packet", "tstun/flow", "tstun/filter", "tstun/ipproto"},
	"tstun/policy":   {"tstun/filter", "tstun/flow", "tstun/ipproto", "github.com/tailscale/hujson"},
	"tstun/capture":  {"tstun", "tstun/filter", "tstun/flow", "tstun/packet", "tstun/internal/clock", "github.com/gopacket/gopacket", "github.com/gopacket/gopacket/"},
	"tstun/netstack": {"tstun", "tstun/packet", "tstun/filter", "tstun/flow", "tstun/ipproto", "tstun/logger", "tstun/internal/lpm", "tstun/internal/relay", "golang.org/x/net/dns/dnsmessage", "gvisor.dev/gvisor/"},
	"tstun/bind":     {"golang.zx2c4.com/wireguard/conn", "golang.org/x/sys/unix"},
	"tstun/flowlog":  {"tstun", "tstun/filter", "tstun/flow", "tstun/netlogtype", "tstun/ipproto", "tstun/logger"},
	"tstun/tunnel": {
		"tstun", "tstun/bind", "tstun/filter", "tstun/flow", "tstun/flowlog", "tstun/ipproto", "tstun/key", "tstun/logger", "tstun/netstack", "tstun/packet", "tstun/policy", "tstun/tundev", "tstun/internal/hook", "tstun/tunnel/internal/hostnet",
		"github.com/fsnotify/fsnotify",
		"golang.zx2c4.com/wireguard/conn", "golang.zx2c4.com/wireguard/device", "golang.zx2c4.com/wireguard/tun",
	},
	"tstun/tunnel/wgquick":              {"tstun/tunnel", "tstun/key"},
	"tstun/tunnel/internal/hostnet":     {"tstun/logger", "github.com/vishvananda/netlink", "github.com/vishvananda/netlink/nl", "github.com/google/nftables", "github.com/google/nftables/", "golang.org/x/sys/"},
	"tstun/internal/clock":              {},
	"tstun/internal/deverr":             {},
	"tstun/internal/hook":               {},
	"tstun/internal/gso":                {"tstun/packet", "tstun/ipproto"},
	"tstun/internal/lpm":                {"github.com/gaissmai/bart"},
	"tstun/internal/prefetch":           {},
	"tstun/internal/relay":              {},
	"tstun/internal/netns":              {"github.com/vishvananda/netlink", "github.com/vishvananda/netns", "golang.org/x/sys/"},
	"tstun/internal/layering":           {},
	"tstun/internal/tunqueue":           {"tstun/internal/deverr", "tstun/internal/gso", "tstun/logger", "golang.org/x/sys/unix"},
	"tstun/internal/tunqueue/queuetest": {"tstun/internal/tunqueue", "tstun/internal/gso", "tstun/packet", "tstun/logger", "golang.org/x/sys/unix"},
	"tstun/internal/e2e":                {},
	"tstun/internal/e2e/attack":         {},
	"tstun/internal/e2e/up":             {},
	"tstun/internal/e2e/interop":        {},
	"tstun/cmd/tstun":                   {"tstun/cmd/tstun/internal/cli"},
	"tstun/cmd/tstun/internal/cli": {
		"tstun/cmd/tstun/internal/bundle", "tstun/cmd/tstun/internal/ui", "tstun/cmd/tstun/internal/demo", "tstun/cmd/tstun/internal/pair", "tstun/cmd/tstun/internal/proxy", "tstun/cmd/tstun/internal/report", "tstun/cmd/tstun/internal/top", "tstun/cmd/tstun/internal/up", "tstun/cmd/tstun/internal/control", "tstun/tundev", "tstun",
		"tstun/capture", "tstun/filter", "tstun/ipproto", "tstun/key", "tstun/packet", "tstun/policy", "tstun/tunnel", "tstun/tunnel/wgquick", "github.com/spf13/cobra",
	},
	"tstun/cmd/tstun/internal/top": {"tstun", "tstun/cmd/tstun/internal/control", "tstun/cmd/tstun/internal/ui", "tstun/filter", "tstun/ipproto", "tstun/tunnel", "charm.land/bubbletea/v2"},
	"tstun/cmd/tstun/internal/bundle": {
		"tstun/cmd/tstun/internal/control", "tstun/tunnel",
		"github.com/tailscale/hujson", "github.com/vishvananda/netlink", "golang.org/x/sys/unix",
	},
	"tstun/cmd/tstun/internal/report": {
		"tstun/cmd/tstun/internal/bundle", "tstun/cmd/tstun/internal/control", "tstun/cmd/tstun/internal/ui", "tstun/filter", "tstun/policy", "tstun/tunnel",
	},
	"tstun/cmd/tstun/internal/ui":    {"golang.org/x/term"},
	"tstun/cmd/tstun/internal/pair":  {"tstun/key", "tstun/policy", "tstun/tunnel", "tstun/tunnel/wgquick", "github.com/boombuler/barcode/qr"},
	"tstun/cmd/tstun/internal/proxy": {"tstun/internal/relay", "tstun/logger"},
	"tstun/cmd/tstun/internal/control": {
		"tstun", "tstun/capture", "tstun/cmd/tstun/internal/proxy", "tstun/filter", "tstun/flow", "tstun/flowexpr", "tstun/flowlog", "tstun/ipproto", "tstun/key", "tstun/logger", "tstun/policy", "tstun/tundev", "tstun/tunnel",
		"golang.org/x/sys/unix",
	},
	"tstun/cmd/tstun/internal/control/controltest": {"tstun", "tstun/cmd/tstun/internal/control", "tstun/internal/rig", "tstun/internal/rig/craft", "tstun/key", "tstun/logger", "tstun/tunnel"},
	"tstun/cmd/tstun/internal/up": {
		"tstun/cmd/tstun/internal/control", "tstun/cmd/tstun/internal/confine", "tstun/cmd/tstun/internal/export", "tstun/cmd/tstun/internal/ui", "tstun/cmd/tstun/internal/proxy", "tstun/capture", "tstun/policy", "tstun/tunnel", "tstun/tunnel/wgquick",
		"github.com/coreos/go-systemd/v22/daemon", "golang.org/x/sys/unix",
	},
	"tstun/cmd/tstun/internal/export": {
		"tstun", "tstun/filter", "tstun/logger", "tstun/netstack", "tstun/tunnel",
		"github.com/prometheus/client_golang/", "golang.org/x/net/netutil",
	},
	"tstun/cmd/tstun/internal/confine": {
		"tstun/tunnel", "github.com/landlock-lsm/go-landlock/", "kernel.org/pub/linux/libs/security/libcap/cap", "golang.org/x/sys/",
	},
	"tstun/cmd/tstun/internal/demo": {
		"tstun/cmd/tstun/internal/ui",
		"tstun", "tstun/filter", "tstun/ipproto", "tstun/key", "tstun/netlogtype", "tstun/packet", "tstun/tunnel", "tstun/internal/netns",
		"golang.org/x/net/icmp", "golang.org/x/net/ipv4", "golang.org/x/net/ipv6",
	},
	"tstun/cmd/tstun/internal/demo/demotest": {"tstun/filter", "tstun/netlogtype"},

	// What tests share.
	"tstun/internal/rig": {
		"tstun", "tstun/bind", "tstun/packet", "tstun/filter", "tstun/ipproto", "tstun/key", "tstun/netlogtype",
		"tstun/internal/netns", "tstun/internal/rig/craft", "tstun/internal/rig/testdev",
		"golang.zx2c4.com/wireguard/", "gvisor.dev/gvisor/", "golang.org/x/sys/",
	},
	"tstun/internal/rig/craft":   {"tstun/packet", "tstun/ipproto"},
	"tstun/internal/rig/race":    {},
	"tstun/internal/rig/testdev": {"golang.zx2c4.com/wireguard/tun", "golang.org/x/sys/"},
}

// mayNot lists what packages may not import of the standard library. The data
// path cannot block, ask the time or start anything without one of these.
var mayNot = map[string][]string{
	"tstun/internal/pipeline": {"sync", "sync/", "os", "os/", "time", "net", "io", "io/", "runtime", "runtime/", "context", "log", "log/", "syscall", "unsafe"},
}

// testsOnly are packages that no code may import outside of tests and of
// testsOnly themselves.
var testsOnly = []string{"tstun/internal/rig", "tstun/internal/rig/craft", "tstun/internal/rig/race", "tstun/internal/rig/testdev", "tstun/internal/tunqueue/queuetest", "tstun/cmd/tstun/internal/demo/demotest", "tstun/cmd/tstun/internal/control/controltest"}

// banned are names that say nothing about what is in a package.
var banned = []string{"util", "utils", "common", "helper", "helpers", "misc"}

func TestImports(t *testing.T) {
	packages := 0
	seen := make(map[string]bool)
	walk(t, func(dir, file string) {
		pkg := packageOf(dir)
		allowed, known := may[pkg]
		if !known {
			t.Errorf("%s: package %s has no row in the import table", file, pkg)
			return
		}
		if !seen[pkg] {
			seen[pkg] = true
			packages++
		}
		for _, imp := range importsOf(t, file) {
			if isStd(imp) && !permits(mayNot[pkg], imp) || permits(allowed, imp) && (!slices.Contains(testsOnly, imp) || slices.Contains(testsOnly, pkg)) {
				continue
			}
			t.Errorf("%s: package %s must not import %s", file, pkg, imp)
		}
	})
	if packages < 10 {
		t.Errorf("only %d packages found: the test does not see the module", packages)
	}
}

func TestPackageNames(t *testing.T) {
	walk(t, func(dir, file string) {
		if slices.Contains(banned, filepath.Base(dir)) {
			t.Errorf("%s: no package is called %q", file, filepath.Base(dir))
		}
	})
}

// systems are the file name suffixes by which Go builds for one system only.
var systems = []string{"linux", "darwin", "windows", "freebsd", "openbsd", "android", "ios", "unix", "bsd"}

// TestSystemsHaveTheirHomes keeps OS code in its three homes in the library.
func TestSystemsHaveTheirHomes(t *testing.T) {
	walk(t, func(dir, file string) {
		pkg := packageOf(dir)
		if pkg == "tstun/tundev" || pkg == "tstun/bind" || pkg == "tstun/tunnel/internal/hostnet" || strings.HasPrefix(pkg, "tstun/cmd/") || strings.HasPrefix(pkg, "tstun/internal/") {
			return
		}
		base := strings.TrimSuffix(filepath.Base(file), ".go")
		if _, suffix, ok := strings.Cut(base, "_"); ok && slices.Contains(systems, suffix) {
			t.Errorf("%s: code for one system belongs in tundev, bind or hostnet", file)
		}
	})
}

// walk calls f for each Go file of the module that is not a test, whatever
// its build constraints are. dir and file are relative to the module's root.
func walk(t *testing.T, f func(dir, file string)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			skip := path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bench" || name == "examples")
			if skip {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			f(filepath.Dir(rel), rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func packageOf(dir string) string {
	if dir == "." {
		return module
	}
	return module + "/" + filepath.ToSlash(dir)
}

func importsOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", file), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var imports []string
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		imports = append(imports, path)
	}
	return imports
}

func isStd(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && first != module
}

func permits(allowed []string, path string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		return a == path || strings.HasSuffix(a, "/") && strings.HasPrefix(path, a)
	})
}

func TestNoPackageImportsAPeer(t *testing.T) {
	walk(t, func(dir, file string) {
		for _, imp := range importsOf(t, file) {
			if strings.HasPrefix(imp, "tailscale.com") {
				t.Errorf("%s imports %s", file, imp)
			}
		}
	})
}
