package llama

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Message is one turn of a conversation.
type Message struct {
	// Role is system, user or assistant.
	Role string
	// Content is plain text.
	Content string
}

// Roles that every chat template knows.
const (
	roleSystem    = "system"
	roleUser      = "user"
	roleAssistant = "assistant"
)

// maxTemplateBytes bounds what a template may add around the messages.
const maxTemplateBytes = 1 << 20

// mark stands for the content of message i while the template is applied. It is
// made of control characters, so no template has it.
func mark(i int) string { return fmt.Sprintf("\x02%d\x03", i) }

// templateWorks tries the model's template once.
func (m *Model) templateWorks() bool {
	text, err := m.applyTemplate([]string{"user"})
	return err == nil && strings.Contains(text, mark(0))
}

// applyTemplate writes the conversation with marks in place of the contents.
// Contents never reach the template, so nothing in them can be taken for it.
func (m *Model) applyTemplate(roles []string) (string, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	text := func(s string) *byte {
		b := append([]byte(s), 0)
		pin.Pin(&b[0])
		return &b[0]
	}
	msgs := make([]chatMessage, len(roles))
	for i, r := range roles {
		msgs[i] = chatMessage{role: text(r), content: text(mark(i))}
	}
	pin.Pin(&msgs[0])
	buf := make([]byte, 256+128*len(roles))
	for range 2 {
		n := m.lib.n.chatTemplate(m.template, &msgs[0], uintptr(len(msgs)), true, &buf[0], int32(len(buf)))
		if n < 0 || n > maxTemplateBytes {
			return "", errors.New("apply the chat template: the engine does not know it")
		}
		if int(n) <= len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, n)
	}
	return "", errors.New("apply the chat template: its length changed")
}

// Prompt turns a conversation into the model's input. Control tokens come from
// the template only: their names inside a message stay ordinary text.
func (m *Model) Prompt(messages []Message) ([]int32, error) {
	if len(messages) == 0 {
		return nil, errors.New("a conversation needs at least one message")
	}
	for i, msg := range messages {
		if !slices.Contains([]string{roleSystem, roleUser, roleAssistant}, msg.Role) {
			return nil, fmt.Errorf("message %d has the unknown role %q", i, msg.Role)
		}
	}
	frame := plainFrame(messages)
	if m.chat {
		roles := make([]string, len(messages))
		for i, msg := range messages {
			roles[i] = msg.Role
		}
		var err error
		if frame, err = m.applyTemplate(roles); err != nil {
			return nil, err
		}
	}
	parts, err := splitFrame(frame, messages)
	if err != nil {
		return nil, err
	}
	return m.tokenizeParts(parts)
}

// plainFrame is used for a model without a template.
func plainFrame(messages []Message) string {
	var b strings.Builder
	for i, msg := range messages {
		fmt.Fprintf(&b, "%s%s: %s\n", strings.ToUpper(msg.Role[:1]), msg.Role[1:], mark(i))
	}
	return b.String() + "Assistant:"
}

// plainStops end an answer in which a model without a template speaks for the user.
func (m *Model) plainStops() []string {
	if m.chat {
		return nil
	}
	return []string{"\nUser:"}
}

// part is a piece of the prompt: the template's text or a message's.
type part struct {
	text    string
	control bool
}

// splitFrame puts the contents back in place of the marks. A template that
// drops or merges messages is an error, not a shorter prompt.
func splitFrame(frame string, messages []Message) ([]part, error) {
	var parts []part
	for i, msg := range messages {
		before, after, ok := strings.Cut(frame, mark(i))
		if !ok {
			return nil, fmt.Errorf("the model's chat template cannot express message %d (%s)", i, msg.Role)
		}
		parts = append(parts, part{before, true}, part{msg.Content, false})
		frame = after
	}
	return append(parts, part{frame, true}), nil
}

// tokenizeParts tokenizes the text as a whole where that is safe, because the
// model was trained on whole texts, and piece by piece where a message contains
// the name of a control token.
func (m *Model) tokenizeParts(parts []part) ([]int32, error) {
	var whole strings.Builder
	safe := true
	for _, p := range parts {
		whole.WriteString(p.text)
		if p.control || !safe {
			continue
		}
		with, err := m.Tokenize(p.text, false, true)
		if err != nil {
			return nil, err
		}
		without, err := m.Tokenize(p.text, false, false)
		if err != nil {
			return nil, err
		}
		safe = slices.Equal(with, without)
	}
	if safe {
		return m.Tokenize(whole.String(), true, true)
	}
	var all []int32
	for i, p := range parts {
		t, err := m.Tokenize(p.text, i == 0, p.control)
		if err != nil {
			return nil, err
		}
		all = append(all, t...)
	}
	return all, nil
}
