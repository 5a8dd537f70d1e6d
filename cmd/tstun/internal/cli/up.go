package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/proxy"
	"tstun/cmd/tstun/internal/ui"
	"tstun/cmd/tstun/internal/up"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

const upHelp = `up starts the tunnel of a wg-quick file and runs it in the foreground until
SIGINT (Ctrl-C) or SIGTERM ends it, which undoes all that it did. FILE is a
path, NAME stands for /etc/wireguard/NAME.conf. The file's name gives the
interface's.

In kernel mode (Linux, with the right to make a TUN device, such as root's) it
does what wg-quick does: an interface, addresses, routes and DNS. In userspace
mode, which needs no right, the tunnel lives inside of the program, and others
use it through --socks5, --http-proxy, --forward and --expose. Of these, the
former three follow the host's routes in kernel mode, and --expose opens its
port at the tunnel's own addresses. Without --mode, it takes kernel mode where
it can, and says which and why.

A policy file is watched; SIGHUP has it and the wg-quick file read again. A file
that is wrong changes nothing. Without one, all that AllowedIPs admit is
accepted. "tstun help policy" has its form. With --audit, a second policy is
tried: it drops nothing, and "tstun policy audit" tells what it would do
otherwise.

It logs to stderr, and tells systemd (Type=notify) when it is ready, that it is
alive, and what it does.

Exit codes:
  0  a signal ended it, and all was undone
  1  it could not start, something else ended it, or not all was undone
  2  the command line, or a file that it names, is wrong`

const upExample = `  sudo tstun up wg0.conf --policy policy.hujson
  tstun up office --socks5 1080 --forward tcp:8080=10.0.0.2:80
  tstun up wg0.conf --mode userspace --expose tcp:80=127.0.0.1:8080`

// newUpCommand returns the command that runs a tunnel.
func newUpCommand(env ui.Environment) *cobra.Command {
	var o up.Options
	var allowHooks, ignoreHooks bool
	cmd := &cobra.Command{
		Use:     "up FILE|NAME",
		Short:   "Run the tunnel of a wg-quick file",
		Long:    upHelp,
		Example: upExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s: want one wg-quick file", ui.Counted(len(args), "file", "files"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.File = args[0]
			switch {
			case allowHooks && ignoreHooks:
				return errors.New("--allow-hooks with --ignore-hooks: want one of them")
			case allowHooks:
				o.Hooks = wgquick.AllowHooks
			case ignoreHooks:
				o.Hooks = wgquick.IgnoreHooks
			}
			return up.Run(cmd.Context(), env, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Name, "name", "", "call the interface `NAME`")
	flags.Var(wordOf(&o.Mode, tunnel.ModeAuto, tunnel.ModeKernel, tunnel.ModeUserspace), "mode", "`MODE` of the tunnel: auto, kernel or userspace")
	flags.BoolVar(&allowHooks, "allow-hooks", false, "run PreUp, PostUp, PreDown and PostDown as wg-quick does")
	flags.BoolVar(&ignoreHooks, "ignore-hooks", false, "pass over PreUp, PostUp, PreDown and PostDown")
	flags.StringVar(&o.Policy, "policy", "", "enforce the policy of `FILE`, which is watched")
	flags.StringVar(&o.Audit, "audit", "", "try the policy of `FILE`, which is watched, and drop nothing by it")
	flags.StringVar(&o.PolicyHost, "policy-host", "", "read policies of several hosts for this `HOST`, a name or an address")
	flags.StringArrayVar(&o.Require, "require", nil, "be ready only after a handshake with `PEER`, a name or public key")
	flags.Var((*clampValue)(&o.MSSClamp), "clamp-mss", "bound TCP segments, both ways: mtu, for what fits the tunnel's, or `BYTES`")
	flags.Var(wordOf(&o.Reject, tunnel.RejectTSMP, tunnel.RejectReset, tunnel.RejectNone), "reject", "answer what the policy refuses by `WORD`: tsmp, which peers with tstun understand, reset, or none")
	addMemoryFlags(cmd, &o)
	addProxyFlags(cmd, &o)
	flags.Var(listOf(&o.Metrics, proxy.ParseListen), "metrics", "serve Prometheus metrics, /readyz and /healthz at `ADDR`: [HOST:]PORT")
	flags.StringVar(&o.StateDir, "state-dir", "", "keep what undoes a killed run in `DIR`, by default "+tunnel.DefaultStateDir)
	format, level := textLog, "info"
	flags.Var(wordOf(&format, textLog, jsonLog), "log-format", "log as `FORMAT`: text or json")
	flags.Var(wordOf(&level, "debug", "info", "warn", "error"), "log-level", "log from `LEVEL` on: debug, info, warn or error")
	completeWords(cmd, "mode", tunnel.ModeAuto, tunnel.ModeKernel, tunnel.ModeUserspace)
	completeWords(cmd, "log-format", textLog, jsonLog)
	completeWords(cmd, "log-level", "debug", "info", "warn", "error")
	cmd.PreRun = func(*cobra.Command, []string) {
		o.LogJSON = format == jsonLog
		_ = o.LogLevel.UnmarshalText([]byte(level)) // one of slog's four
	}
	return cmd
}

const textLog, jsonLog = "text", "json"

// addProxyFlags adds the flags of what serves beside the tunnel.
func addProxyFlags(cmd *cobra.Command, o *up.Options) {
	flags := cmd.Flags()
	flags.Var(listOf(&o.SOCKS5, proxy.ParseListen), "socks5", "serve SOCKS5 at `ADDR`: [HOST:]PORT, 127.0.0.1 by default")
	flags.Var(listOf(&o.HTTP, proxy.ParseListen), "http-proxy", "serve an HTTP proxy at `ADDR`")
	flags.Var(listOf(&o.Forward, proxy.ParseForward), "forward", "carry a port here to one beyond the tunnel: `RULE` is tcp|udp:LOCAL=REMOTE")
	flags.Var(listOf(&o.Expose, proxy.ParseExpose), "expose", "carry a port of the tunnel to one here: `RULE` is tcp|udp:PORT=LOCAL")
	flags.StringVar(&o.Credentials, "proxy-credentials", "", "have the proxies ask for the NAME:PASSWORD in `FILE`")
	flags.BoolVar(&o.AllowOpenProxy, "allow-open-proxy", false, "let the proxies serve other hosts without a password")
}

// clampValue is a flag whose value is mtu or an MSS in bytes.
type clampValue tunnel.MSSClamp

// Set refuses what is neither.
func (c *clampValue) Set(text string) error {
	if text == tunnel.ClampToMTU.String() {
		*c = clampValue(tunnel.ClampToMTU)
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return errors.New("want mtu or a number of bytes from 1 to 65535")
	}
	*c = clampValue(n)
	return nil
}

// String returns the value, or nothing without one.
func (c *clampValue) String() string {
	if c == nil || *c == 0 {
		return ""
	}
	return tunnel.MSSClamp(*c).String()
}

// Type is what help says of a value.
func (c *clampValue) Type() string { return "clamp" }

// word is a flag whose value is one of a few words.
type word[T ~string] struct {
	value *T
	words []T
}

// wordOf returns a word whose first one is the default.
func wordOf[T ~string](value *T, words ...T) word[T] {
	if *value == "" {
		*value = words[0]
	}
	return word[T]{value, words}
}

// Set refuses what is none of the words.
func (w word[T]) Set(text string) error {
	var all []string
	for _, one := range w.words {
		if string(one) == text {
			*w.value = one
			return nil
		}
		all = append(all, string(one))
	}
	return fmt.Errorf("want %s or %s", strings.Join(all[:len(all)-1], ", "), all[len(all)-1])
}

// String returns the value, which help shows as the default.
func (w word[T]) String() string {
	if w.value == nil {
		return ""
	}
	return string(*w.value)
}

// Type is what help says of a value.
func (w word[T]) Type() string { return "word" }
