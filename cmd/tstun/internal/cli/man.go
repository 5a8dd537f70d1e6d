package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

// newManCommand returns the command that writes manual pages, for those who make
// packages. It is not listed.
func newManCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Hidden: true,
		Short:  "Write a manual page for each command",
		Long:   "man writes a manual page (man(7), section 1) for each command into the directory\nDIR, which it makes if there is none: tstun.1, tstun-flows.1 and so on.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("want one directory")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := writeManual(root, args[0]); err != nil {
				return ui.Failf("want a directory that this user may write to", "%w", err)
			}
			return nil
		},
	}
}

// writeManual writes the pages of cmd and of all below it.
func writeManual(cmd *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range manualOf(cmd) {
		if err := os.WriteFile(filepath.Join(dir, pageName(c)+".1"), []byte(manualPage(c)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manualOf returns the commands that have a page.
func manualOf(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			all = append(all, manualOf(c)...)
		}
	}
	return all
}

// pageName returns what the page of a command is called: tstun-policy-plan.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// exitCodes is the line of a command's help behind which its exit codes stand.
const exitCodes = "Exit codes:\n"

// manualPage returns a page in the language of man(7). It says what the command's help
// does, since it is made of it.
func manualPage(cmd *cobra.Command) string {
	cmd.InitDefaultHelpFlag()
	var r roff
	r.request("TH", strings.ToUpper(pageName(cmd)), "1", "", "tstun "+version(), "User Commands")
	r.request("SH", "NAME")
	r.text(pageName(cmd) + " - " + cmd.Short)
	r.request("SH", "SYNOPSIS")
	r.line(`\fB` + escape(cmd.CommandPath()) + `\fP` + escape(strings.TrimPrefix(cmd.UseLine(), cmd.CommandPath())))
	long, codes, _ := strings.Cut(cmd.Long, exitCodes)
	r.request("SH", "DESCRIPTION")
	r.paragraphs(long)
	r.options(cmd)
	if codes == "" {
		_, codes, _ = strings.Cut(cmd.Root().Long, exitCodes)
	}
	r.request("SH", "EXIT STATUS")
	r.list(codes)
	if cmd.Example != "" {
		r.request("SH", "EXAMPLES")
		r.verbatim(strings.Split(cmd.Example, "\n"))
	}
	r.request("SH", "SEE ALSO")
	r.text(strings.Join(seeAlso(cmd), ", "))
	return r.String()
}

// seeAlso returns the pages around that of cmd; around the root's are those of wg.
func seeAlso(cmd *cobra.Command) (pages []string) {
	if cmd.HasParent() {
		pages = append(pages, pageName(cmd.Parent())+"(1)")
	} else {
		pages = append(pages, "wg(8)", "wg-quick(8)")
	}
	for _, c := range manualOf(cmd)[1:] {
		if c.Parent() == cmd {
			pages = append(pages, pageName(c)+"(1)")
		}
	}
	slices.Sort(pages)
	return pages
}

// roff is a manual page that is being written.
type roff struct{ strings.Builder }

// escape returns text as roff has it in a line.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\(ga", "^", `\(ha`, "~", `\(ti`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

func (r *roff) line(escaped string) { r.WriteString(escaped + "\n") }

// text writes a line of text.
func (r *roff) text(line string) { r.line(escape(line)) }

// request writes a macro and its arguments.
func (r *roff) request(name string, args ...string) {
	r.WriteString("." + name)
	for _, a := range args {
		fmt.Fprintf(r, ` "%s"`, strings.ReplaceAll(escape(a), `"`, `\(dq`))
	}
	r.WriteString("\n")
}

// paragraphs writes the text of a help: what is indented stands as it is.
func (r *roff) paragraphs(text string) {
	for i, p := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		lines := strings.Split(strings.Trim(p, "\n"), "\n")
		if i > 0 {
			r.request("PP")
		}
		for len(lines) > 0 {
			n := slices.IndexFunc(lines, isIndented)
			if n < 0 {
				n = len(lines)
			}
			for _, l := range lines[:n] {
				r.text(l)
			}
			lines = lines[n:]
			if n = slices.IndexFunc(lines, func(l string) bool { return !isIndented(l) }); n < 0 {
				n = len(lines)
			}
			if n > 0 {
				r.verbatim(lines[:n])
			}
			lines = lines[n:]
		}
	}
}

func isIndented(line string) bool {
	return strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t")
}

// verbatim writes lines as they are.
func (r *roff) verbatim(lines []string) {
	r.request("EX")
	for _, l := range lines {
		r.text(strings.TrimRight(l, " "))
	}
	r.request("EE")
}

// list writes lines of two columns, with what is behind a code or flag in the second, and
// lines that go on.
func (r *roff) list(text string) {
	for l := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		term, rest, ok := strings.Cut(strings.TrimSpace(l), "  ")
		if !ok || strings.HasPrefix(l, "    ") && !strings.HasPrefix(strings.TrimSpace(l), "-") {
			r.text(strings.TrimSpace(l))
			continue
		}
		r.request("TP")
		r.line(`\fB` + escape(term) + `\fP`)
		r.text(strings.TrimSpace(rest))
	}
}

// options writes the flags of cmd.
func (r *roff) options(cmd *cobra.Command) {
	usages := cmd.NonInheritedFlags().FlagUsagesWrapped(0) + cmd.InheritedFlags().FlagUsagesWrapped(0)
	if usages != "" {
		r.request("SH", "OPTIONS")
		r.list(usages)
	}
}
