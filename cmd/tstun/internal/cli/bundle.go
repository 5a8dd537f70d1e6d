package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/bundle"
	"tstun/cmd/tstun/internal/ui"
)

const bundleHelp = `bundle writes a .tar.gz file with what a maintainer needs to help with a tunnel
that runs: version, status and counters (twice, some seconds apart), events,
diagnosis, the policy file, flows and refused flows of the last hour (1,000 of
each at most), the host's interfaces, routes and rules, and what the process
does. manifest.json says what is in it, and what could not be had, and why.

No private or preshared key is in it, and no password. With --anonymize,
addresses, names, paths and public keys are replaced, the same one by the same
other one in all files; two addresses of one network stay in one. Look at it
before you send it.

It asks the tunnel NAME, or the only one that runs, and takes some seconds.

Exit codes:
  0  it was written, also if parts of it could not be had
  1  it was not, the tunnel does not run, or this user may not ask it
  2  the command line is wrong`

type bundleOptions struct {
	asked
	out       string
	anonymize bool
}

// newBundleCommand returns the command that writes what a maintainer needs.
func newBundleCommand(env ui.Environment, doc *document) *cobra.Command {
	var o bundleOptions
	cmd := &cobra.Command{
		Use:               "bundle [NAME]",
		Short:             "Write what a maintainer needs to help, into one file",
		Long:              bundleHelp,
		Example:           "  tstun bundle --anonymize\n  sudo tstun bundle wg0 --out wg0.tar.gz",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeTunnel(env, &o.stateDir),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.tunnel = args[0]
			}
			return runBundle(cmd.Context(), env, doc, &o)
		},
	}
	cmd.Flags().BoolVar(&o.anonymize, "anonymize", false, "replace addresses, names, paths and public keys")
	cmd.Flags().StringVar(&o.out, "out", "", "write to `FILE`, which must not be there yet (default tstun-bundle-NAME-TIME.tar.gz)")
	addStateDirFlag(cmd, &o.stateDir)
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	return cmd
}

// bundleResult is the JSON document of bundle.
type bundleResult struct {
	ui.Report
	File     string           `json:"file"`
	Bytes    int              `json:"bytes"`
	Manifest *bundle.Manifest `json:"manifest"`
}

func runBundle(ctx context.Context, env ui.Environment, doc *document, o *bundleOptions) error {
	c, err := o.client(env)
	if err != nil {
		return err
	}
	parts := bundle.Collect(ctx, c, bundle.Version{Version: version(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH})
	if ctx.Err() != nil {
		return ui.Failf("", "%w", errAbandoned)
	}
	m := bundle.Manifest{Created: time.Now().UTC(), Version: version(), Tunnel: c.Name}
	if o.anonymize {
		bundle.Anonymize(&m, parts)
	}
	m.List(parts)
	dir := fmt.Sprintf("tstun-bundle-%s-%s", m.Tunnel, m.Created.Format("20060102T150405Z"))
	file := o.out
	if file == "" {
		file = dir + ".tar.gz"
	}
	var packed bytes.Buffer
	if err := bundle.Write(&packed, dir, m, parts); err != nil {
		return ui.Failf("", "%w", err)
	}
	if err := writeNew(file, packed.Bytes()); err != nil {
		return err
	}
	doc.body = &bundleResult{File: file, Bytes: packed.Len(), Manifest: &m}
	if doc.wanted {
		return nil
	}
	return printBundle(ui.NewPainter(env), file, packed.Len(), &m)
}

// writeNew writes a file for this user alone, which is not there yet, or leaves none.
func writeNew(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return ui.Failf("--out names another", "%w", err)
	} else if err != nil {
		return ui.Failf("--out names a file that this user may write", "%w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return ui.WriteFailure(errors.Join(err, os.Remove(file)))
	}
	return nil
}

func printBundle(p *ui.Painter, file string, size int, m *bundle.Manifest) error {
	table := ui.Table{Right: []bool{false, true, false}}
	table.Add("file", "bytes", "what")
	for _, e := range m.Parts {
		what := e.What
		switch {
		case e.Error != "":
			what = "not there: " + oneLine(e.Error)
		case e.Note != "":
			what += "; " + oneLine(e.Note)
		}
		table.Add(e.Path, ui.Number(uint64(e.Bytes)), what)
	}
	p.Draw(&table)
	if m.Note != "" {
		p.Paragraph("", m.Note)
	}
	p.Paragraph("", fmt.Sprintf("%s, %v: look at it before you send it", oneLine(file), ui.Size(size)))
	return p.Err()
}
