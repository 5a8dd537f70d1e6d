package cli

import (
	"context"
	"encoding/csv"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/ipproto"
	"tstun/policy"
)

const matrixHelp = `matrix says who reaches what: a row for each set of sources, a column for each
set of destinations, and in the cells protocols and ports. It computes this on
the rules, for all addresses, ports and protocols. The sources of a row reach
the same, and those of no two rows do. "any other" is all addresses that are in
no other row.

Without FILE, it asks the running tunnel for the policy in force. With --diff,
it says what changes from the policy OLD to that: + becomes allowed, - denied.

What is too wide for a table has a line for each cell. --csv and --svg print it
for other programs and as a picture; --json has the addresses of each set.

Exit codes:
  0  it was told
  1  the policy is too intricate to compute, no tunnel answers, or a signal
     ended it
  2  a file cannot be read or has errors, or the command line is wrong`

type matrixOptions struct {
	asked
	old, host string
	csv, svg  bool
}

// newMatrixCommand returns the command that says who reaches what.
func newMatrixCommand(env ui.Environment, doc *document) *cobra.Command {
	var o matrixOptions
	cmd := &cobra.Command{
		Use:     "matrix [FILE]",
		Short:   "Say who reaches what, in exact sets",
		Long:    matrixHelp,
		Example: "  tstun policy matrix policy.hujson\n  tstun policy matrix policy.hujson --diff policy.old.hujson\n  sudo tstun policy matrix --svg > matrix.svg",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMatrix(cmd.Context(), env, doc, o, strings.Join(args, ""))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.old, "diff", "", "say what changes from the policy `OLD`")
	flags.BoolVar(&o.csv, "csv", false, "print it as comma-separated values")
	flags.BoolVar(&o.svg, "svg", false, "print it as a picture, in SVG")
	flags.BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	cmd.MarkFlagsMutuallyExclusive("csv", "svg", "json")
	addLocalFlag(cmd, &o.host)
	o.addFlags(cmd, env)
	return cmd
}

// matrixResult is the JSON document of policy matrix.
type matrixResult struct {
	ui.Report
	Srcs  []matrixSet  `json:"srcs"`
	Dsts  []matrixSet  `json:"dsts"`
	Cells []matrixCell `json:"cells"`
}

// matrixSet is a policy.Set, in JSON.
type matrixSet struct {
	Text   string         `json:"text"`
	Names  []string       `json:"names,omitempty"`
	Others bool           `json:"others,omitempty"`
	Ranges []policy.Range `json:"ranges"`
}

// matrixCell is a policy.Cell, in JSON.
type matrixCell struct {
	Src    int            `json:"src"` // index into srcs
	Dst    int            `json:"dst"` // index into dsts
	Access []matrixAccess `json:"access"`
}

// matrixAccess is a policy.Access, in JSON.
type matrixAccess struct {
	Becomes   string          `json:"becomes,omitempty"` // with --diff: allowed or denied
	IPVersion int             `json:"ipVersion,omitempty"`
	Protos    []ipproto.Proto `json:"protos"`
	Ports     []string        `json:"ports"`
	Text      string          `json:"text"`
}

func runMatrix(ctx context.Context, env ui.Environment, doc *document, o matrixOptions, file string) error {
	result := matrixResult{Srcs: []matrixSet{}, Dsts: []matrixSet{}, Cells: []matrixCell{}}
	doc.body = &result
	m, err := o.matrix(ctx, env, file)
	if err != nil {
		return err
	}
	diff := o.old != ""
	switch {
	case doc.wanted:
		result.fill(m, diff)
		return nil
	case o.csv:
		return writeMatrixCSV(env, m, diff)
	case o.svg:
		return writeMatrixSVG(env, m, diff)
	}
	return printMatrix(env, m, diff)
}

// matrix reads the policies and computes their matrix.
func (o *matrixOptions) matrix(ctx context.Context, env ui.Environment, file string) (*policy.Matrix, error) {
	var policies []*policy.Policy
	var err error
	if file != "" && o.old != "" {
		policies, err = readPolicies(env, []string{o.old, file}, o.host)
	} else {
		policies, err = o.oldAndInForce(ctx, env, file)
	}
	if err != nil {
		return nil, err
	}
	next := policies[len(policies)-1]
	m, err := policy.MatrixOf(next)
	if o.old != "" {
		m, err = policy.MatrixOfDiff(policies[0], next)
	}
	if err != nil {
		return nil, ui.Failf("tstun explain tells about single flows", "%w", err)
	}
	return m, nil
}

// oldAndInForce returns the policy OLD, if there is one, and the one of the file
// or in force.
func (o *matrixOptions) oldAndInForce(ctx context.Context, env ui.Environment, file string) ([]*policy.Policy, error) {
	_, next, err := o.textOrAsk(ctx, env, file, o.host)
	if err != nil || o.old == "" {
		return []*policy.Policy{next}, err
	}
	old, err := readPolicies(env, []string{o.old}, o.host)
	return append(old, next), err
}

// fill sets what the document says.
func (r *matrixResult) fill(m *policy.Matrix, diff bool) {
	sets := func(to []matrixSet, all []policy.Set) []matrixSet {
		for _, s := range all {
			to = append(to, matrixSet{s.String(), s.Names, s.Others, s.Ranges})
		}
		return to
	}
	r.Srcs, r.Dsts = sets(r.Srcs, m.Srcs), sets(r.Dsts, m.Dsts)
	for _, c := range m.Cells {
		cell := matrixCell{Src: c.Src, Dst: c.Dst}
		for _, a := range c.Access {
			x := matrixAccess{IPVersion: a.IPVersion, Protos: a.Protos, Ports: []string{}, Text: a.String()}
			for _, p := range a.Ports {
				x.Ports = append(x.Ports, p.String())
			}
			if diff {
				x.Becomes = becomes(a.Allowed)
			}
			cell.Access = append(cell.Access, x)
		}
		r.Cells = append(r.Cells, cell)
	}
}

func becomes(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}

// signs returns what stands in front of what becomes allowed, and denied.
func signs(diff bool) (allowed, denied string) {
	if diff {
		return "+ ", "- "
	}
	return "", ""
}

// accessTexts returns what a cell says, behind signs.
func accessTexts(access []policy.Access, allowed, denied string) []string {
	texts := make([]string, len(access))
	for i, a := range access {
		texts[i] = denied + a.String()
		if a.Allowed {
			texts[i] = allowed + a.String()
		}
	}
	return texts
}

// matrixRows returns the matrix with its heads, cell by cell.
func matrixRows(m *policy.Matrix, allowed, denied string) [][]string {
	head := []string{"from \\ to"}
	for _, dst := range m.Dsts {
		head = append(head, dst.String())
	}
	rows := [][]string{head}
	for i, src := range m.Srcs {
		row := make([]string, len(head))
		row[0] = src.String()
		for j := range m.Dsts {
			row[j+1] = strings.Join(accessTexts(m.Cell(i, j), allowed, denied), "; ")
		}
		rows = append(rows, row)
	}
	return rows
}

// maxTableColumns is how many destinations a table has room for: 80 columns are
// no more than 16 narrow ones.
const maxTableColumns = 16

// printMatrix prints a table that fits 80 columns, or else the cells.
func printMatrix(env ui.Environment, m *policy.Matrix, diff bool) error {
	p := ui.NewPainter(env)
	allowed, denied := signs(diff)
	switch rows := [][]string(nil); {
	case len(m.Cells) == 0 && diff:
		p.Printf("no flow becomes allowed or denied\n")
	case len(m.Cells) == 0:
		p.Printf("nobody reaches anything: the policy allows no flow\n")
	default:
		if len(m.Dsts) <= maxTableColumns {
			rows = matrixRows(m, allowed, denied)
		}
		if rows == nil || rowWidth(rows) > ui.MaxColumns {
			rows = cellRows(m, allowed, denied)
		}
		t := ui.Table{Right: make([]bool, len(rows[0]))}
		for _, row := range rows {
			t.Add(row...)
		}
		p.Draw(&t)
	}
	return p.Err()
}

// rowWidth returns the columns that a table of the rows takes.
func rowWidth(rows [][]string) int {
	total := 0
	for column := range rows[0] {
		width := 0
		for _, row := range rows {
			width = max(width, ui.Width(row[column]))
		}
		total += width + 3 // the indent, or the gap in front of it, is less
	}
	return total
}

// cellRows returns a row for each cell, with a head.
func cellRows(m *policy.Matrix, allowed, denied string) [][]string {
	rows := [][]string{{"from", "to", "what"}}
	last := -1
	for _, c := range m.Cells {
		from := ""
		if c.Src != last {
			from, last = m.Srcs[c.Src].String(), c.Src
		}
		for i, text := range accessTexts(c.Access, allowed, denied) {
			to := ""
			if i == 0 {
				to = m.Dsts[c.Dst].String()
			}
			rows = append(rows, []string{from, to, text})
			from = ""
		}
	}
	return rows
}

func writeMatrixCSV(env ui.Environment, m *policy.Matrix, diff bool) error {
	allowed, denied := "", ""
	if diff {
		allowed, denied = "allowed: ", "denied: " // a spreadsheet takes signs for formulas
	}
	w := csv.NewWriter(env.Stdout)
	for _, row := range matrixRows(m, allowed, denied) {
		_ = w.Write(row) // Error has it
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return ui.WriteFailure(err)
	}
	return nil
}
