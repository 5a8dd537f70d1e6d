package report

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Machine is where the figures come from.
type Machine struct {
	System string `json:"system"`
	Kernel string `json:"kernel,omitempty"`
	CPU    string `json:"cpu,omitempty"`
	Cores  int    `json:"cores"`
	Go     string `json:"go"`
}

// compared are the modules whose versions say what was compared.
var compared = []string{
	"golang.zx2c4.com/wireguard",
	"tailscale.com",
	"github.com/tailscale/wireguard-go",
	"github.com/slackhq/nebula",
	"gvisor.dev/gvisor",
}

// New returns an empty report about this machine and program.
func New() *Report {
	return &Report{
		Machine: Machine{
			System: runtime.GOOS + "/" + runtime.GOARCH,
			Kernel: firstLine("/proc/sys/kernel/osrelease"),
			CPU:    cpuModel(),
			Cores:  runtime.NumCPU(),
			Go:     runtime.Version(),
		},
		Versions: versions(),
		Settings: make(map[string]string),
	}
}

func firstLine(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// versions returns those of the compared modules that the program was built
// with.
func versions() map[string]string {
	out := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	all := make(map[string]string)
	for _, m := range info.Deps {
		all[m.Path] = m.Version
	}
	for _, path := range compared {
		if v, ok := all[path]; ok {
			out[path] = v
		}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			out["tstun"] = s.Value
		}
	}
	return out
}
