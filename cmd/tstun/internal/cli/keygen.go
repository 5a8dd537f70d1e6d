package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/key"
)

const keygenHelp = `keygen makes a private key. The key goes to stdout, or with -o into a new file
that its owner alone can read; its public key, the one to give to peers, goes to
stderr. Keys are in the form of wg(8).

With --public, it reads a private key from standard input and prints the public
key on stdout. With --preshared, it makes a secret that two peers may share
beside their keys.

"tstun pair" makes the keys, and the files, of two peers at once.`

// keygenOptions say what keygen makes.
type keygenOptions struct {
	public, preshared bool
	file              string // in place of stdout, or empty
}

// newKeygenCommand returns the command that makes keys.
func newKeygenCommand(env ui.Environment, doc *document) *cobra.Command {
	var o keygenOptions
	cmd := &cobra.Command{
		Use:     "keygen",
		Short:   "Make a private key, or tell the public one of it",
		Long:    keygenHelp,
		Example: "  tstun keygen -o private.key\n  tstun keygen --public <private.key\n  tstun keygen --preshared",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if o.public && o.preshared {
				return errors.New("--public and --preshared exclude each other")
			}
			return runKeygen(env, doc, o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.public, "public", false, "read a private key from standard input and print its public key")
	flags.BoolVar(&o.preshared, "preshared", false, "make a preshared key")
	flags.StringVarP(&o.file, "output", "o", "", "write the key into the new `FILE`, mode 0600")
	flags.BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	return cmd
}

// keygenResult is the JSON document of keygen. What went into File is not in it.
type keygenResult struct {
	ui.Report
	PrivateKey   string `json:"privateKey,omitempty"`
	PublicKey    string `json:"publicKey,omitempty"`
	PresharedKey string `json:"presharedKey,omitempty"`
	File         string `json:"file,omitempty"`
}

func runKeygen(env ui.Environment, doc *document, o keygenOptions) error {
	result := keygenResult{File: o.file}
	made := &result.PrivateKey
	switch {
	case o.preshared:
		made = &result.PresharedKey
		*made = key.NewPreshared().Reveal()
	case o.public:
		private, err := readPrivate(env.Stdin)
		if err != nil {
			return err
		}
		made = &result.PublicKey
		*made = private.Public().String()
	default:
		private := key.NewPrivate()
		*made, result.PublicKey = private.Reveal(), private.Public().String()
	}
	if o.file != "" {
		if err := writeNewFile(o.file, *made+"\n"); err != nil {
			return err
		}
	}
	return tellKeys(env, doc, &result, made)
}

// tellKeys prints the key that was made, unless it is in a file, and the public
// key that belongs to it.
func tellKeys(env ui.Environment, doc *document, result *keygenResult, made *string) error {
	text := *made
	if result.File != "" {
		*made = ""
	}
	if doc.wanted {
		doc.body = result
		return nil
	}
	var err error
	if result.File == "" {
		_, err = fmt.Fprintln(env.Stdout, text)
	}
	if result.PublicKey != "" && made != &result.PublicKey {
		_, e := fmt.Fprintf(env.Stderr, "public key: %s\n", result.PublicKey)
		err = errors.Join(err, e)
	}
	if err != nil {
		return ui.WriteFailure(err)
	}
	return nil
}

// maxKeyInput bounds what is read to find a key: one of 44 characters, and
// spaces.
const maxKeyInput = 4096

// readPrivate reads a private key, as keygen writes it. Its errors do not show
// what was read.
func readPrivate(r io.Reader) (key.Private, error) {
	if r == nil {
		r = strings.NewReader("")
	}
	text, err := io.ReadAll(io.LimitReader(r, maxKeyInput))
	if err != nil {
		return key.Private{}, ui.Failf("", "standard input: %w", err)
	}
	private, err := key.ParsePrivate(strings.TrimSpace(string(text)))
	if err == nil && private.IsZero() {
		err = errors.New("key: all zeros, which stands for none")
	}
	if err != nil {
		return key.Private{}, ui.BadInput("it wants a private key: tstun keygen makes one", fmt.Errorf("standard input: %w", err))
	}
	return private, nil
}

// writeNewFile writes a file that was not there, for its owner alone.
func writeNewFile(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return ui.BadInput("a key is not overwritten: remove it first, or name another file", err)
	}
	if err != nil {
		return ui.BadInput("", err)
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Close()); err != nil {
		return ui.Failf("", "%w", errors.Join(err, os.Remove(name)))
	}
	return nil
}
