package cli

import (
	"context"
	"errors"
	"net"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/proxy"
	"tstun/cmd/tstun/internal/ui"
	"tstun/cmd/tstun/internal/up"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

const connectHelp = `connect opens a TCP connection to HOST:PORT through a tunnel and makes standard
input and output its two ways, as netcat does. The end of one way leaves the
other open. It is made for ssh:

  ssh -o ProxyCommand='tstun connect %h:%p' host

The tunnel is one that "tstun up" runs: the only one, or --tunnel. With --config
it is one of its own, in userspace mode, which ends with the connection. HOST is
an address, or a name that the tunnel's DNS knows. Addresses of this host itself
are refused.

Exit codes:
  0  both ways have ended
  1  the tunnel does not run or the connection failed, or a signal ended it
  2  the command line, or the file, is wrong`

type connectOptions struct {
	asked
	config string // of a tunnel of its own
}

// newConnectCommand returns the command that makes one connection.
func newConnectCommand(env ui.Environment) *cobra.Command {
	var o connectOptions
	cmd := &cobra.Command{
		Use:     "connect HOST:PORT",
		Short:   "Connect standard input and output through a tunnel",
		Long:    connectHelp,
		Example: "  ssh -o ProxyCommand='tstun connect %h:%p' 10.0.0.2\n  tstun connect --config wg0.conf web:80",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.tunnel != "" && o.config != "" {
				return errors.New("--tunnel with --config: want one of them")
			}
			return runConnect(cmd.Context(), env, o, args[0])
		},
	}
	o.addFlags(cmd, env)
	cmd.Flags().StringVar(&o.config, "config", "", "go through a tunnel of its own, of the wg-quick `FILE`")
	return cmd
}

func runConnect(ctx context.Context, env ui.Environment, o connectOptions, dest string) error {
	to, err := proxy.ParseDestination(dest)
	if err != nil {
		return ui.BadInput("", err)
	}
	if o.config != "" {
		return connectAlone(ctx, env, o.config, to)
	}
	c, err := o.client(env)
	if err != nil {
		return err
	}
	conn, err := c.Connect(ctx, to.String())
	if err != nil {
		return askFailure(err)
	}
	return pipe(ctx, env, conn)
}

func pipe(ctx context.Context, env ui.Environment, conn net.Conn) error {
	if err := proxy.Pipe(ctx, conn, env.Stdin, env.Stdout); err != nil {
		return ui.Failf("", "%w", err)
	}
	return nil
}

// connectAlone connects through a tunnel for this connection alone.
func connectAlone(ctx context.Context, env ui.Environment, file string, to proxy.Endpoint) error {
	config, err := parseAlone(file)
	if err != nil {
		return err
	}
	t, err := tunnel.Start(ctx, *config)
	if err != nil {
		return ui.Failf("", "%w", err)
	}
	conn, err := proxy.Dial(ctx, up.Network(ctx, t), to)
	if err == nil {
		err = pipe(ctx, env, conn)
	} else {
		err = ui.Failf("tstun diagnose "+file+" tells what is wrong", "%w", err)
	}
	if closeErr := t.Close(); err == nil && closeErr != nil {
		err = ui.Failf("", "%w", closeErr)
	}
	return err
}

// parseAlone reads a wg-quick file for a tunnel in userspace mode, without its
// hooks, at a port of its own: the file's may be that of one that runs.
func parseAlone(file string) (*tunnel.Config, error) {
	config, _, err := wgquick.ParseFile(file, wgquick.Options{Hooks: wgquick.IgnoreHooks})
	if err != nil {
		return nil, ui.BadInput("", err)
	}
	config.Mode, config.ListenPort, config.FwMark = tunnel.ModeUserspace, 0, 0
	return config, nil
}
