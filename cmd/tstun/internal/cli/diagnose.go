package cli

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/key"
	"tstun/tundev"
	"tstun/tunnel"
)

const diagnoseHelp = `diagnose tells what is wrong, from what can be seen, and what to do about it.

Without an argument, it tells what stands in the way of kernel mode on this
system, and tries userspace mode. NAME is a tunnel that "tstun up" runs. FILE is
a wg-quick file, of which it starts a tunnel in userspace mode for a moment.

It asks peers that are silent for a handshake, and sends one byte to their
endpoints, which WireGuard ignores, to hear whether anybody listens there.

Exit codes:
  0  nothing stands in the way
  1  something does, or NAME does not answer
  2  the command line, or the file, is wrong`

// diagnoseTimeout bounds a diagnosis.
const diagnoseTimeout = 20 * time.Second

// newDiagnoseCommand returns the command that tells what is wrong.
func newDiagnoseCommand(env ui.Environment, doc *document) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "diagnose [NAME|FILE]",
		Short:   "Tell what is wrong with this system, or with a tunnel",
		Long:    diagnoseHelp,
		Example: "  tstun diagnose\n  sudo tstun diagnose wg0\n  tstun diagnose ./wg0.conf",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			names, _ := completeTunnel(env, &dir)(cmd, args, word)
			return names, cobra.ShellCompDirectiveDefault // files, where no name fits
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), diagnoseTimeout)
			defer cancel()
			if len(args) == 0 {
				return diagnoseSystem(ctx, env, doc)
			}
			return diagnoseTunnel(ctx, env, doc, args[0], control.Dirs(dir, env.Getenv))
		},
	}
	addStateDirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	return cmd
}

// diagnoseResult is the JSON document of diagnose.
type diagnoseResult struct {
	ui.Report
	// Kernel and Userspace say which modes work, if the system was asked.
	Kernel    *bool            `json:"kernel,omitempty"`
	Userspace *bool            `json:"userspace,omitempty"`
	Findings  []tundev.Finding `json:"findings"`
}

// anyName is a name for a TUN device that is not made.
const anyName = "tstun0"

func diagnoseSystem(ctx context.Context, env ui.Environment, doc *document) error {
	found := append([]tundev.Finding{}, tundev.Diagnose(anyName, nil)...)
	userErr := tryUserspace(ctx)
	kernel, userspace := len(found) == 0, userErr == nil
	doc.body = &diagnoseResult{Kernel: &kernel, Userspace: &userspace, Findings: found}
	if !doc.wanted {
		p := ui.NewPainter(env)
		printModes(p, kernel, userErr)
		printFindings(p, found)
		if err := p.Err(); err != nil {
			return err
		}
	}
	switch {
	case userErr != nil:
		return ui.Failf("", "userspace mode: %w", userErr)
	case !kernel:
		return ui.Failf("tstun up --mode userspace needs none of it", "kernel mode does not work here: %s", ui.Counted(len(found), "finding", "findings"))
	}
	return nil
}

// testAddresses are what the tunnel of a test has: RFC 5737 §3, RFC 3849.
var testAddresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128")}

// tryUserspace starts a tunnel without peers, and ends it.
func tryUserspace(ctx context.Context) error {
	t, err := tunnel.Start(ctx, tunnel.Config{Mode: tunnel.ModeUserspace, PrivateKey: key.NewPrivate(), Addresses: testAddresses})
	if err != nil {
		return err
	}
	return t.Close()
}

func printModes(p *ui.Painter, kernel bool, userErr error) {
	word := func(works bool) string {
		if works {
			return p.Paint(ui.Green, "works")
		}
		return p.Paint(ui.Red, "does not work")
	}
	p.Printf("kernel mode %s\n", word(kernel))
	p.Printf("userspace mode %s\n", word(userErr == nil))
}

func printFindings(p *ui.Painter, all []tundev.Finding) {
	for _, f := range all {
		p.Printf("\n%s\n", p.Paint(ui.Bold, f.Code))
		p.Paragraph("   ", oneLine(f.Cause))
		p.Paragraph("   ", "seen: "+oneLine(f.Evidence))
		p.Paragraph("   ", "do: "+oneLine(f.Advice))
	}
}

func diagnoseTunnel(ctx context.Context, env ui.Environment, doc *document, arg string, dirs []string) error {
	result := diagnoseResult{Findings: []tundev.Finding{}}
	doc.body = &result
	found, err := findingsOf(ctx, arg, dirs)
	if err != nil {
		return err
	}
	result.Findings = append(result.Findings, found...)
	if !doc.wanted {
		p := ui.NewPainter(env)
		if len(found) == 0 {
			p.Printf("%s: nothing is wrong, as far as can be seen\n", arg)
		} else {
			p.Printf("%s: %s\n", arg, ui.Counted(len(found), "finding", "findings"))
		}
		printFindings(p, found)
		if err := p.Err(); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return ui.Failf("", "%s of %s", ui.Counted(len(found), "finding", "findings"), arg)
	}
	return nil
}

// findingsOf asks the tunnel that runs, or starts that of a file.
func findingsOf(ctx context.Context, arg string, dirs []string) ([]tundev.Finding, error) {
	name, err := tunnelName(arg)
	if err != nil {
		return nil, err
	}
	c, err := control.Find(dirs, name)
	isFile := filepath.Base(arg) != arg || strings.HasSuffix(arg, ".conf")
	switch {
	case err == nil:
		d, err := c.Diagnose(ctx)
		if err != nil {
			return nil, askFailure(err)
		}
		return d.Findings, nil
	case !isFile:
		return nil, notFound(dirs, err)
	}
	config, err := parseAlone(arg)
	if err != nil {
		return nil, err
	}
	found, err := tunnel.Diagnose(ctx, *config)
	if err != nil {
		return nil, ui.Failf("", "%s: %w", arg, fmt.Errorf("a tunnel of it does not start: %w", err))
	}
	return found, nil
}
