package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/demo"
	"tstun/cmd/tstun/internal/ui"
)

const demoHelp = `demo brings two WireGuard nodes up on this machine, each a wireguard-go device
on a tstun Wrapper, connects them over loopback, and sends real traffic through:
handshake, pings, an HTTP request, a connection that the rules refuse, a UDP
exchange that is allowed as a reply only, a TSMP ping and a bulk transfer. Then
it shows what each connection carried and what was dropped, and why.

Each step is checked. The exit code is 0 only if all that is shown happened, 1
if it did not or a signal ended it, and 2 if the command line is wrong.

Without --tun, the nodes have network stacks of their own and need no root.
With --tun (Linux, root), they have real interfaces in two network namespaces,
which are made for the demo and removed after it.`

// newDemoCommand returns the command that runs the demo.
func newDemoCommand(env ui.Environment, doc *document) *cobra.Command {
	o := demo.Options{Size: 256 << 20}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Show two WireGuard nodes at work, without root",
		Long:    demoHelp,
		Example: "  tstun demo\n  tstun demo --size 10MB --json\n  sudo tstun demo --tun",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Timeout <= 0 {
				return fmt.Errorf("--timeout %v: want more than 0", o.Timeout)
			}
			return runDemo(cmd.Context(), env, doc, o)
		},
	}
	flags := cmd.Flags()
	flags.Var(&o.Size, "size", "bytes to transfer, such as 10MB or 1GiB")
	flags.BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	flags.BoolVar(&o.TUN, "tun", false, "use real TUN interfaces in network namespaces (Linux, root)")
	flags.DurationVar(&o.Timeout, "timeout", time.Minute, "give up after this time")
	return cmd
}

// runDemo runs the demo. With --json, it prints nothing on the way.
func runDemo(ctx context.Context, env ui.Environment, doc *document, o demo.Options) error {
	p := ui.NewPainter(env)
	if doc.wanted {
		p = ui.Silent()
	}
	result, err := demo.Run(ctx, p, o)
	doc.body = result
	return err
}
