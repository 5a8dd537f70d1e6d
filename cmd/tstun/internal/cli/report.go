package cli

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/report"
	"tstun/cmd/tstun/internal/ui"
)

const reportHelp = `report writes one page, in HTML, of what a tunnel that runs did: what stands
out, traffic over time, what was refused and why, connections, peers, the policy
with who reaches what, and its history. The page loads nothing, has no script,
is light or dark as the reader's system is, fits a phone and can be printed.
What there is very much of is cut, and the page says so.

No private or preshared key is in it, and no password. With --anonymize,
addresses, names, paths and public keys are replaced, the same one by the same
other one. Look at it before you send it.

It asks the tunnel NAME, or the only one that runs. With --json, it prints the
data of the page and writes none.

Exit codes:
  0  it was written, also if parts of it could not be had
  1  it was not, the tunnel does not run, or this user may not ask it
  2  the command line is wrong`

type reportOptions struct {
	asked
	out, since string
	anonymize  bool
}

// newReportCommand returns the command that writes a page of what a tunnel did.
func newReportCommand(env ui.Environment, doc *document) *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:               "report [NAME]",
		Short:             "Write what a tunnel did, as a page to look at and to send",
		Long:              reportHelp,
		Example:           "  tstun report --out report.html\n  sudo tstun report wg0 --since 24h --anonymize",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeTunnel(env, &o.stateDir),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.tunnel = args[0]
			}
			return runReport(cmd.Context(), env, doc, &o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.since, "since", "1h", "tell of the time since `TIME`, or so long ago: 1h, or as RFC 3339 has it")
	flags.StringVar(&o.out, "out", "", "write to `FILE`, which must not be there yet, or - for standard output (default tstun-report-NAME-TIME.html)")
	flags.BoolVar(&o.anonymize, "anonymize", false, "replace addresses, names, paths and public keys")
	flags.BoolVar(&doc.wanted, "json", false, "print one JSON document, the data of the page, and write no page")
	cmd.MarkFlagsMutuallyExclusive("out", "json")
	addStateDirFlag(cmd, &o.stateDir)
	return cmd
}

// reportResult is the JSON document of report.
type reportResult struct {
	ui.Report
	Page *report.Report `json:"report,omitempty"`
}

func runReport(ctx context.Context, env ui.Environment, doc *document, o *reportOptions) error {
	var result reportResult
	doc.body = &result
	since, err := control.ParseSince(o.since, time.Now())
	if err != nil {
		return ui.BadInput("as in --since 1h", err)
	}
	c, err := o.client(env)
	if err != nil {
		return err
	}
	r, err := report.Collect(ctx, c, report.Options{Since: since, Version: version(), Anonymize: o.anonymize})
	switch {
	case ctx.Err() != nil:
		return ui.Failf("", "%w", errAbandoned)
	case err != nil:
		return askFailure(err)
	}
	result.Page = r
	if doc.wanted {
		return nil
	}
	return writeReport(env, o, r)
}

// writeReport writes the page, and says what is in it.
func writeReport(env ui.Environment, o *reportOptions, r *report.Report) error {
	zone, file := time.Local, o.out
	if o.anonymize {
		zone = time.UTC // which tells of no place
	}
	var page bytes.Buffer
	if err := r.WriteHTML(&page, zone); err != nil {
		return ui.Failf("", "%w", err)
	}
	if file == stdinFile {
		if _, err := env.Stdout.Write(page.Bytes()); err != nil {
			return ui.WriteFailure(err)
		}
		return nil
	}
	if file == "" {
		file = fmt.Sprintf("tstun-report-%s-%s.html", r.Tunnel, r.Created.UTC().Format("20060102T150405Z"))
	}
	if err := writeNew(file, page.Bytes()); err != nil {
		return err
	}
	p := ui.NewPainter(env)
	p.Paragraph("", oneLine(r.Summary.Text))
	for _, m := range r.Missing {
		p.Paragraph("", "not there: "+oneLine(m.Part+": "+m.Error))
	}
	p.Paragraph("", fmt.Sprintf("%s, %v: look at it before you send it", oneLine(file), ui.Size(page.Len())))
	return p.Err()
}
