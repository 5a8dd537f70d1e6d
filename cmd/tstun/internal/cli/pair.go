package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/pair"
	"tstun/cmd/tstun/internal/ui"
	"tstun/key"
)

const pairHelp = `pair makes the two ends of a tunnel: a wg-quick file for each, with fresh keys,
a preshared key and addresses that fit, and a policy for both, with tests.

Both ends run at once on this machine, without root, unless --endpoint says
where NAME_B is to find NAME_A. Each end then needs its own file and the policy;
any WireGuard can be an end, such as a phone's app, which reads the file of
NAME_B from --qr.

The files go into a new directory, all for the owner alone. Nothing is
overwritten without --force, and it writes all of them or none.`

// pairOptions say what pair makes and where it writes it.
type pairOptions struct {
	pair.Options
	dir       string
	overwrite bool
	qr        bool
}

// newPairCommand returns the command that makes two ends of a tunnel.
func newPairCommand(env ui.Environment, doc *document) *cobra.Command {
	o := pairOptions{Options: pair.Options{Names: [2]string{"server", "client"}}}
	cmd := &cobra.Command{
		Use:   "pair [NAME_A NAME_B]",
		Short: "Make two files that join two hosts, and a policy",
		Long:  pairHelp,
		Example: "  tstun pair\n  tstun pair office laptop --endpoint vpn.example.com:51820\n" +
			"  tstun pair home phone --endpoint home.example.com:51820 --full-tunnel --qr",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return fmt.Errorf("%s: want two, or none for server and client", ui.Counted(len(args), "name", "names"))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if doc.wanted && o.qr {
				return errors.New("--json and --qr exclude each other")
			}
			if len(args) == 2 {
				o.Names = [2]string(args)
			}
			return runPair(env, doc, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.dir, "dir", "d", "pair", "write into this `DIRECTORY`")
	flags.BoolVar(&o.overwrite, "force", false, "overwrite the files of another pair: their keys are lost")
	flags.StringVar(&o.Endpoint, "endpoint", pair.DefaultEndpoint, "`HOST:PORT` where NAME_B finds NAME_A")
	flags.Var(listOf(&o.Subnets, netip.ParsePrefix), "subnet", "the tunnel's `PREFIX`, IPv4 or IPv6 (default "+pair.DefaultSubnet.String()+" and a random one of IPv6)")
	flags.Var(listOf(&o.DNS, netip.ParseAddr), "dns", "`ADDRESS` of a name server for NAME_B")
	flags.BoolVar(&o.FullTunnel, "full-tunnel", false, "NAME_B sends everything to NAME_A, which is to pass it on")
	flags.BoolVar(&o.qr, "qr", false, "show the file of NAME_B as a QR code, too, with its keys")
	flags.BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	return cmd
}

// pairResult is the JSON document of pair. It has no secrets.
type pairResult struct {
	ui.Report
	Endpoint string    `json:"endpoint,omitempty"`
	Policy   string    `json:"policy,omitempty"`
	Ends     []pairEnd `json:"ends"`
}

type pairEnd struct {
	Name      string       `json:"name"`
	File      string       `json:"file"`
	Addresses []netip.Addr `json:"addresses"`
	PublicKey key.Public   `json:"publicKey"`
}

func runPair(env ui.Environment, doc *document, o pairOptions) error {
	result := pairResult{Ends: []pairEnd{}}
	doc.body = &result
	p, err := pair.New(o.Options)
	if err != nil {
		return ui.BadInput("", err)
	}
	var code [][]bool
	if o.qr {
		if code, err = fittingQR(env, p); err != nil {
			return err
		}
	}
	if err := p.Write(o.dir, o.overwrite); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return ui.BadInput("name another directory with --dir, or overwrite the keys that are there with --force", err)
		}
		return ui.Failf("", "%w", err)
	}
	result.Endpoint, result.Policy = o.Endpoint, filepath.Join(o.dir, pair.PolicyFile)
	for _, e := range p.Ends {
		result.Ends = append(result.Ends, pairEnd{e.Config.Name, filepath.Join(o.dir, e.File()), e.Addrs, e.Config.PrivateKey.Public()})
	}
	if doc.wanted {
		return nil
	}
	painter := ui.NewPainter(env)
	printPair(painter, &result)
	if p.OneMachine {
		printLocalSteps(painter, &result)
	} else {
		printSteps(painter, &result, o)
	}
	painter.HalfBlocks(code)
	return painter.Err()
}

// fittingQR returns the QR code of a pair if the output can show it.
func fittingQR(env ui.Environment, p *pair.Pair) ([][]bool, error) {
	if !env.Unicode() {
		return nil, ui.Failf("set LC_ALL=C.UTF-8 if the terminal shows UTF-8", "--qr: the locale is not UTF-8, in which the code is drawn")
	}
	code, err := p.QR()
	if err != nil {
		return nil, ui.Failf("", "%w", err)
	}
	if 0 < env.Columns && env.Columns < len(code) {
		return nil, ui.Failf("widen the terminal or take a smaller font", "--qr: the code takes %d columns, the terminal has %d", len(code), env.Columns)
	}
	return code, nil
}

// printPair prints what was written.
func printPair(p *ui.Painter, r *pairResult) {
	t := &ui.Table{Right: make([]bool, 2)}
	t.Add("written, for the owner alone", "what it is")
	for _, e := range r.Ends {
		t.Add(e.File, fmt.Sprintf("%s: %v %v", e.Name, e.Addresses[0], e.Addresses[1]))
	}
	t.Add(r.Policy, "what they let each other begin, with tests")
	p.Draw(t)
}

// upCommand returns the command that starts an end.
func (r *pairResult) upCommand(e pairEnd) string {
	return "tstun up " + e.File + " --policy " + r.Policy
}

// printLocalSteps prints how to try both ends on this machine.
func printLocalSteps(p *ui.Painter, r *pairResult) {
	a, b := r.Ends[0], r.Ends[1]
	p.Printf("\nnext, each in a terminal of its own:\n\n")
	p.Printf("   %s \\\n      --mode userspace --expose tcp:80=127.0.0.1:8080\n", r.upCommand(a))
	p.Printf("   %s \\\n      --mode userspace --socks5 1080\n", r.upCommand(b))
	p.Printf("   curl --proxy socks5h://127.0.0.1:1080 http://%v/\n\n", a.Addresses[0])
	p.Paragraph("", fmt.Sprintf("What listens on port 8080 of this machine is then the web server of %s, for %s alone.", a.Name, b.Name))
}

// printSteps prints how to start both ends on their machines.
func printSteps(p *ui.Painter, r *pairResult, o pairOptions) {
	a, b := r.Ends[0], r.Ends[1]
	p.Printf("\nnext, on %s, which is to be reached at UDP %s:\n\n   sudo %s\n\n", a.Name, o.Endpoint, r.upCommand(a))
	if o.FullTunnel {
		p.Paragraph("", fmt.Sprintf("There, forwarding has to be on, and what comes from the tunnel be masqueraded: tstun does not see to it that what %s sends gets any further.", b.Name))
		p.Printf("\n")
	}
	if o.qr {
		p.Printf("On %s, read this with WireGuard's app:\n\n", b.Name)
		return
	}
	p.Printf("On %s, with its own two files:\n\n   sudo %s\n", b.Name, r.upCommand(b))
}
