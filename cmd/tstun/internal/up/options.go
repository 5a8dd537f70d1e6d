package up

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"tstun/capture"
	"tstun/cmd/tstun/internal/proxy"
	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

// Options are what the command line asks for.
type Options struct {
	// File is the path of wg-quick's file, or the NAME of
	// /etc/wireguard/NAME.conf.
	File string
	// Name is the interface's, or empty for the file's.
	Name  string
	Hooks wgquick.HookMode
	// Policy is a file, or empty. PolicyHost is for whom it is read, or empty.
	Policy, PolicyHost string
	// Audit is a policy file that is tried and drops nothing, or empty. It is read for
	// PolicyHost, too.
	Audit    string
	Mode     tunnel.Mode
	StateDir string // or empty for the tunnel's default
	// Require has names or public keys of peers without which the tunnel is
	// not ready.
	Require []string
	// MSSClamp bounds the segments of TCP connections.
	MSSClamp tunnel.MSSClamp
	// Reject is what a peer hears that the policy refuses.
	Reject       tunnel.Reject
	SOCKS5, HTTP []proxy.Endpoint
	Metrics      []proxy.Endpoint
	Forward      []proxy.Rule
	Expose       []proxy.Rule
	// Credentials is a file with the name and password that SOCKS5 and HTTP
	// clients must know, or empty.
	Credentials    string
	AllowOpenProxy bool
	// RecordMemory is as tunnel.Config has it.
	RecordMemory int
	// PacketMemory is for the latest packets, in bytes, or 0 for none. Of each,
	// PacketLength bytes are kept, or if it is 0, as many as a History keeps by default.
	PacketMemory, PacketLength int
	LogJSON                    bool
	LogLevel                   slog.Level
}

// stdin is what stands for standard input elsewhere.
const stdin = "-"

// check refuses what does not go together.
func (o *Options) check() error {
	proxies := len(o.SOCKS5)+len(o.HTTP) > 0
	wrong := ""
	switch {
	case o.File == stdin || o.Policy == stdin || o.Audit == stdin || o.Credentials == stdin:
		wrong = "- is no file: a reload reads the files again, so they need a path"
	case o.PolicyHost != "" && o.Policy+o.Audit == "":
		wrong = "--policy-host without --policy: there is no policy to read for that host"
	case o.AllowOpenProxy && !proxies:
		wrong = "--allow-open-proxy without --socks5 or --http-proxy: there is no proxy to open"
	case o.Credentials != "" && !proxies:
		wrong = "--proxy-credentials without --socks5 or --http-proxy: there is no proxy to guard"
	case o.Credentials != "" && o.AllowOpenProxy:
		wrong = "--allow-open-proxy with --proxy-credentials: a proxy that asks for a password is not open"
	case o.Audit != "" && o.RecordMemory < 0:
		wrong = "--audit with --record-memory off: what that policy would do is told by records"
	case o.PacketLength < 0 || o.PacketLength > capture.DefaultSnapLen:
		wrong = fmt.Sprintf("--packet-length %d: want 1 to %d bytes", o.PacketLength, capture.DefaultSnapLen)
	case o.PacketLength != 0 && o.PacketMemory == 0:
		wrong = "--packet-length without --packet-memory: no packets are kept"
	}
	if wrong != "" {
		return ui.BadInput("tstun help up tells how it is called", errors.New(wrong))
	}
	return errors.Join(o.checkOpen("--socks5", o.SOCKS5), o.checkOpen("--http-proxy", o.HTTP))
}

// checkOpen refuses a proxy that serves other hosts without a password.
func (o *Options) checkOpen(flag string, listeners []proxy.Endpoint) error {
	if o.AllowOpenProxy || o.Credentials != "" {
		return nil
	}
	for _, at := range listeners {
		if a, err := netip.ParseAddr(at.Host); err != nil || !a.Unmap().IsLoopback() {
			return ui.BadInput(
				"give a port alone to serve this host only, --proxy-credentials FILE to ask for a password, or --allow-open-proxy if it is meant",
				fmt.Errorf("%s %v: %w: whoever reaches that address could use it", flag, at, proxy.ErrOpen))
		}
	}
	return nil
}
