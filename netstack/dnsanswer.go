package netstack

import "golang.org/x/net/dns/dnsmessage"

// Limits of an answer that is taken.
const (
	maxRecords = 1024
	maxAliases = 16
)

// answerError is what is wrong with a server's answer.
type answerError string

func (e answerError) Error() string { return string(e) }

const (
	errNoName     = answerError("no such host")            // NXDOMAIN
	errNoData     = answerError("no records of this type") // RFC 2308 §2.2
	errLocalhost  = answerError("localhost is not in Hosts")
	errServFail   = answerError("server misbehaving: SERVFAIL")
	errLame       = answerError("lame referral")
	errUnreadable = answerError("cannot read the answer")
	errUnrelated  = answerError("answer to another question")
	errTooMany    = answerError("too many records in the answer")
	errAliasLoop  = answerError("too many aliases in the answer")
)

// rcodes are names of response codes for errors (RFC 1035 §4.1.1, RFC 6891
// §9).
var rcodes = map[dnsmessage.RCode]string{
	dnsmessage.RCodeFormatError:    "FORMERR",
	dnsmessage.RCodeNotImplemented: "NOTIMP",
	dnsmessage.RCodeRefused:        "REFUSED",
	16:                             "BADVERS",
}

// reply is a message that answers a question, read up to its records.
type reply struct {
	p dnsmessage.Parser
	h dnsmessage.Header
}

// openReply reads the start of a message. ok is false if it is not the answer
// to question q with the ID.
func openReply(msg []byte, id uint16, q dnsmessage.Question) (m reply, ok bool) {
	var err error
	if m.h, err = m.p.Start(msg); err != nil || !m.h.Response || m.h.ID != id || m.h.OpCode != 0 {
		return m, false
	}
	asked, err := m.p.Question()
	if err != nil || asked.Type != q.Type || asked.Class != q.Class || fold(asked.Name) != fold(q.Name) {
		return m, false
	}
	return m, m.p.SkipQuestion() == dnsmessage.ErrSectionDone
}

// fold returns a name for comparison.
func fold(n dnsmessage.Name) string { return string(lowerBytes(n.Data[:n.Length])) }

// answer is what a server said.
type answer struct {
	name    dnsmessage.Name // behind all aliases
	records []dnsmessage.ResourceBody
}

// answer returns the records that answer q: at least one. A question for an
// alias is answered by the name alone.
func (m reply) answer(q dnsmessage.Question) (answer, error) {
	code, referral := m.rest()
	switch code {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return answer{}, errNoName
	case dnsmessage.RCodeServerFailure:
		return answer{}, errServFail
	default:
		return answer{}, misbehaving(code)
	}
	rs, err := m.records(q.Type)
	if err != nil {
		return answer{}, err
	}
	if !rs.any && referral {
		return answer{}, errLame
	}
	return rs.resolve(q)
}

func misbehaving(code dnsmessage.RCode) error {
	name, ok := rcodes[code]
	if !ok {
		name = code.String()
	}
	return answerError("server misbehaving: " + name)
}

// rest reads what comes behind the answers: the response code, and, if there
// are no answers, whether the server only refers to others: it neither knows
// nor asks, and names other servers or adds nothing at all.
func (m reply) rest() (code dnsmessage.RCode, referral bool) {
	if m.p.SkipAllAnswers() != nil {
		return m.h.RCode, false
	}
	named := m.skipAuthorities()
	code, added := m.additionals()
	return code, !m.h.Authoritative && !m.h.RecursionAvailable && (named || !added)
}

// skipAuthorities reports whether there are name servers.
func (m *reply) skipAuthorities() (named bool) {
	for {
		h, err := m.p.AuthorityHeader()
		if err != nil || m.p.SkipAuthority() != nil {
			return named
		}
		named = named || h.Type == dnsmessage.TypeNS
	}
}

// additionals returns the response code with its upper bits, which are in the
// OPT record (RFC 6891 §6.1.3), and whether there is any record.
func (m *reply) additionals() (code dnsmessage.RCode, added bool) {
	for {
		h, err := m.p.AdditionalHeader()
		if err != nil {
			return m.h.RCode, added
		}
		added = true
		if h.Type == dnsmessage.TypeOPT {
			return h.ExtendedRCode(m.h.RCode), true
		}
		if m.p.SkipAdditional() != nil {
			return m.h.RCode, true
		}
	}
}

// records are the answers of one type in a message, by their folded owner.
type records struct {
	any   bool // there are records of whatever type
	alias map[string]dnsmessage.Name
	of    map[string][]dnsmessage.ResourceBody
}

func (m reply) records(t dnsmessage.Type) (records, error) {
	rs := records{alias: make(map[string]dnsmessage.Name), of: make(map[string][]dnsmessage.ResourceBody)}
	for range maxRecords {
		h, err := m.p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			return rs, nil
		}
		if err != nil {
			return rs, errUnreadable
		}
		rs.any = true
		if h.Class != dnsmessage.ClassINET || h.Type != t && h.Type != dnsmessage.TypeCNAME {
			err = m.p.SkipAnswer()
		} else {
			err = rs.take(&m.p)
		}
		if err != nil {
			return rs, errUnreadable
		}
	}
	if _, err := m.p.AnswerHeader(); err != dnsmessage.ErrSectionDone {
		return rs, errTooMany
	}
	return rs, nil
}

// take adds the next record.
func (rs *records) take(p *dnsmessage.Parser) error {
	r, err := p.Answer()
	if err != nil {
		return err
	}
	owner := fold(r.Header.Name)
	alias, ok := r.Body.(*dnsmessage.CNAMEResource)
	if !ok {
		rs.of[owner] = append(rs.of[owner], r.Body)
	} else if _, known := rs.alias[owner]; !known {
		rs.alias[owner] = alias.CNAME
	}
	return nil
}

// resolve follows the aliases of q's name.
func (rs *records) resolve(q dnsmessage.Question) (answer, error) {
	a := answer{name: q.Name}
	aliased := false
	for range maxAliases {
		next, ok := rs.alias[fold(a.name)]
		if !ok {
			a.records = rs.of[fold(a.name)]
			if len(a.records) == 0 && !(aliased && q.Type == dnsmessage.TypeCNAME) {
				return answer{}, errNoData
			}
			return a, nil
		}
		a.name, aliased = next, true
	}
	return answer{}, errAliasLoop
}
