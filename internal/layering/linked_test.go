package layering

import (
	"slices"
	"strings"
	"testing"
)

// The parts of the world that some packages must not bring with them. A name
// that ends in a slash stands for all below it.
const (
	wireguard  = "golang.zx2c4.com/wireguard/"
	gvisor     = "gvisor.dev/gvisor/"
	cobra      = "github.com/spf13/"
	prometheus = "github.com/prometheus/"
	gopacket   = "github.com/gopacket/"
	otel       = "go.opentelemetry.io/"
	hujson     = "github.com/tailscale/hujson"
	netlink    = "github.com/vishvananda/"
	bart       = "github.com/gaissmai/"
	system     = "golang.org/x/sys/"
	http       = "net/http"
	tls        = "crypto/tls"
	sockets    = "net" // net/netip is another
	processes  = "os/exec"
)

var (
	// programs is what belongs to programs alone.
	programs = []string{cobra, prometheus, gopacket, otel, http, tls}
	// outside is what the rules and all below them do without: they know
	// neither devices nor the network.
	outside = append([]string{wireguard, gvisor, netlink, system, sockets, processes}, programs...)
	// others is all that is not the standard library's.
	others = append([]string{hujson, bart}, outside...)
)

// never lists what a package or program does not link, by whatever way: who
// takes the package would have to trust, update and ship it. Tests may.
var never = map[string][]string{
	"tstun":           append([]string{hujson}, programs...),
	"tstun/netstack":  append([]string{hujson}, programs...),
	"tstun/capture":   {hujson, cobra, prometheus, otel, http, tls},
	"tstun/tundev":    append([]string{hujson, bart, gvisor}, programs...),
	"tstun/flowlog":   append([]string{hujson}, programs...),
	"tstun/bind":      append([]string{hujson, bart, gvisor}, programs...),
	"tstun/policy":    outside,
	"tstun/flowexpr":  append([]string{hujson}, outside...),
	"tstun/filter":    append([]string{hujson}, outside...),
	"tstun/flow":      others,
	"tstun/packet":    others,
	"tstun/ipproto":   others,
	"tstun/key":       others,
	"tstun/logger":    others,
	"tstun/cmd/tstun": {otel},

	"tstun/tunnel":                      programs,
	"tstun/tunnel/wgquick":              programs, // its Config is the engine's
	"tstun/tunnel/internal/hostnet":     append([]string{hujson, bart, gvisor, wireguard}, programs...),
	"tstun/internal/pipeline":           append([]string{hujson}, outside...),
	"tstun/internal/accounting":         append([]string{hujson}, outside...),
	"tstun/internal/fragqueue":          others,
	"tstun/internal/inject":             append([]string{hujson, bart, wireguard}, programs...),
	"tstun/internal/hostread":           append([]string{hujson, bart, gvisor}, programs...),
	"tstun/netlogtype":                  others,
	"tstun/internal/clock":              others,
	"tstun/internal/relay":              {hujson, bart, wireguard, gvisor, netlink, system, processes, cobra, prometheus, gopacket, otel, http, tls},
	"tstun/internal/gso":                others,
	"tstun/internal/lpm":                append([]string{hujson}, outside...),
	"tstun/internal/prefetch":           others,
	"tstun/internal/netns":              append([]string{hujson, bart, gvisor, wireguard}, programs...),
	"tstun/internal/layering":           others,
	"tstun/internal/e2e":                others,
	"tstun/internal/deverr":             others,
	"tstun/internal/hook":               append([]string{hujson, bart, gvisor, wireguard, netlink, system, sockets}, programs...),
	"tstun/internal/tunqueue":           append([]string{hujson, bart, gvisor, wireguard, netlink, processes}, programs...),
	"tstun/internal/tunqueue/queuetest": append([]string{hujson, bart, gvisor, wireguard, netlink}, programs...),
	"tstun/internal/e2e/attack":         others,
	"tstun/internal/e2e/interop":        others,
	"tstun/internal/e2e/up":             others,
	"tstun/internal/documents":          others,
	"tstun/internal/rig":                append([]string{hujson}, programs...),
	"tstun/internal/rig/craft":          others,
	"tstun/internal/rig/race":           others,
	"tstun/internal/rig/testdev":        append([]string{hujson, bart}, programs...),

	"tstun/cmd/tstun/internal/cli":                 {otel},
	"tstun/cmd/tstun/internal/ui":                  append([]string{hujson, bart, wireguard, gvisor, netlink, processes}, programs...),
	"tstun/cmd/tstun/internal/export":              {cobra, gopacket, otel},
	"tstun/cmd/tstun/internal/confine":             {cobra, prometheus, gopacket, otel},
	"tstun/cmd/tstun/internal/pair":                programs,
	"tstun/cmd/tstun/internal/control":             {cobra, prometheus, otel},
	"tstun/cmd/tstun/internal/control/controltest": {cobra, prometheus, otel},
	"tstun/cmd/tstun/internal/top":                 {cobra, prometheus, otel},
	"tstun/cmd/tstun/internal/bundle":              {cobra, prometheus, otel},
	"tstun/cmd/tstun/internal/report":              {cobra, prometheus, otel},
	"tstun/cmd/tstun/internal/up":                  {otel},
	"tstun/cmd/tstun/internal/proxy":               {hujson, bart, wireguard, gvisor, netlink, system, processes, cobra, prometheus, gopacket, otel},
	"tstun/cmd/tstun/internal/demo":                {cobra, prometheus, gopacket, otel},
	"tstun/cmd/tstun/internal/demo/demotest":       append([]string{hujson}, outside...),
}

// asLinked are the systems for which packages are asked what they link.
var asLinked = []string{"linux", "darwin", "windows", "freebsd", "openbsd"}

func TestLinkedPackages(t *testing.T) {
	for _, goos := range asLinked {
		t.Run(goos, func(t *testing.T) {
			t.Parallel()
			graph := importGraph(t, goos)
			for pkg, imports := range graph {
				if _, known := never[pkg]; isOurs(pkg) && !known {
					t.Errorf("package %s has no row in the table of what is not linked", pkg)
				}
				if isOurs(pkg) && slices.Contains(imports, "C") {
					t.Errorf("package %s needs a C compiler", pkg)
				}
			}
			for pkg, names := range never {
				if _, known := graph[pkg]; !known {
					t.Errorf("package %s has a row in the table of what is not linked, and is not there", pkg)
				}
				for _, chain := range forbidden(graph, pkg, names) {
					t.Errorf("package %s must not link %s: %s", pkg, chain[len(chain)-1], strings.Join(chain, " > "))
				}
			}
		})
	}
}

// importGraph returns, of all packages of the module and those that they link
// on a system, what each imports.
func importGraph(t *testing.T, goos string) map[string][]string {
	t.Helper()
	out := goTool(t, []string{"GOOS=" + goos, "GOARCH=amd64", "CGO_ENABLED=0"},
		"list", "-deps", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	graph := make(map[string][]string)
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 0 {
			graph[fields[0]] = fields[1:]
		}
	}
	return graph
}

// forbidden returns, for each of names that pkg links, a shortest way to it.
func forbidden(graph map[string][]string, pkg string, names []string) (chains [][]string) {
	from := map[string]string{pkg: ""}
	found := make(map[string]bool)
	for queue := []string{pkg}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, name := range names {
			if at != pkg && permits([]string{name}, at) && !found[name] {
				found[name] = true
				chains = append(chains, way(from, at))
			}
		}
		for _, next := range graph[at] {
			if _, seen := from[next]; !seen {
				from[next] = at
				queue = append(queue, next)
			}
		}
	}
	return chains
}

// way returns how at was come to.
func way(from map[string]string, at string) (chain []string) {
	for ; at != ""; at = from[at] {
		chain = append(chain, at)
	}
	slices.Reverse(chain)
	return chain
}

func isOurs(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func TestForbiddenIsFound(t *testing.T) {
	graph := map[string][]string{
		"tstun/filter": {"net/netip", "example.com/index", "tstun/flow"},
		"tstun/flow":   {"sync"}, "example.com/index": {"net/http", "net"},
		"net/http": {"crypto/tls", "net"}, "net": {}, "crypto/tls": {"net"},
	}
	tests := []struct {
		pkg  string
		want string
	}{
		{"tstun/filter", "tstun/filter > example.com/index > net/http | tstun/filter > example.com/index > net"},
		{"tstun/flow", ""},
		{"net/http", "net/http > net"}, // itself is what is asked about
	}
	for _, tt := range tests {
		var got []string
		for _, chain := range forbidden(graph, tt.pkg, []string{http, sockets, otel}) {
			got = append(got, strings.Join(chain, " > "))
		}
		if got := strings.Join(got, " | "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.pkg, got, tt.want)
		}
	}
}
