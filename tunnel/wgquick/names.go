package wgquick

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// interfaceName is what wg-quick takes for the name of an interface. A name has
// at most 15 bytes (IFNAMSIZ of linux/if.h, less the NUL).
var interfaceName = regexp.MustCompile(`^[a-zA-Z0-9_=+.-]{1,15}$`)

// InterfaceName returns the name of the interface that a file is for: the
// file's name without .conf.
func InterfaceName(path string) (string, error) {
	base := filepath.Base(path)
	name, ok := strings.CutSuffix(base, ".conf")
	if !ok {
		return "", errors.New("the file's name gives the interface's: want one that ends in .conf, such as wg0.conf")
	}
	return name, checkName(name)
}

func checkName(name string) error {
	if !interfaceName.MatchString(name) || name == "." || name == ".." {
		return fmt.Errorf("%s cannot name an interface: want 1 to 15 of a-z, A-Z, 0-9 and _=+.-", shown(name))
	}
	return nil
}

// nameComment is a comment that names the peer in whose section it stands.
var nameComment = regexp.MustCompile(`(?i)^[ \t]*#[ \t]*(?:friendly_name|name)[ \t]*=[ \t]*(.*)$`)

// maxName is how many characters a peer's name may have.
const maxName = 64

// comment reads a line that is only a comment, or empty.
func (p *parser) comment(l line) {
	match := nameComment.FindStringSubmatch(l.text)
	if p.section != peerSection || match == nil {
		return
	}
	name := strings.TrimRight(match[1], space)
	source := p.peers[len(p.peers)-1]
	first, again := p.byName[name]
	switch {
	case !isName(name):
		p.warn(l.start(), "not taken as the peer's name: want 1 to %d printable characters", maxName)
		return
	case source.named.line > 0:
		p.warn(l.start(), "a second name of the peer: it has that of line %d", source.named.line)
		return
	case again:
		p.warn(l.start(), "the peer in line %d has the same name", first.line)
	default:
		p.byName[name] = source.place
	}
	source.named = l.start()
	p.peer().Name = name
}

// isName reports whether a name can be shown anywhere.
func isName(name string) bool {
	return name != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxName &&
		strings.TrimSpace(name) == name && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}
