package paper_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/paper"
)

func document(rows int) *paper.Document {
	d := &paper.Document{
		Title: "Statement of Amazon (AWS) with OpenAI, June 2026", Subtitle: "Open: it may change", Mark: "SIMULATED", Of: "Books of OpenAI",
		Notice: strings.Repeat("Illustration compiled from press reports and public filings; not affiliated with any company named. ", 4),
		Made:   time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), Facts: [][2]string{{"Above zero", "Amazon owes OpenAI"}, {"Zürich – Łódź", "Ωμέγα, Привет, 1 234,56 €"}},
		Tables:  []paper.Table{{Title: "Accounts", Columns: []paper.Column{{Title: "Account, movement", Share: 4}, {Title: "Against", Share: 5}, {Title: "Amount", Share: 2, Right: true}}}},
		Closing: "Every line opens to its entries.",
	}
	for i := range rows {
		d.Tables[0].Rows = append(d.Tables[0].Rows, paper.Row{Cells: []string{"cost", "openai/expense/compute/aws-gb200-us-east-2-a-long-name-of-a-pool," + fmt.Sprint(i), "-1,234,567.890123"}, Strong: i%10 == 0})
	}
	return d
}

func TestWrite_IsAWholeFileOverPages(t *testing.T) {
	for _, rows := range []int{0, 1, 40, 500} {
		var b bytes.Buffer
		if err := paper.Write(&b, document(rows)); err != nil {
			t.Fatal(err)
		}
		data := b.Bytes()
		if !bytes.HasPrefix(data, []byte("%PDF-1.")) || !bytes.HasSuffix(bytes.TrimSpace(data), []byte("%%EOF")) {
			t.Errorf("%d rows: %q … %q", rows, data[:8], data[len(data)-8:])
		}
		pages := bytes.Count(data, []byte("/Type /Page\n"))
		if rows == 500 && pages < 10 || rows == 1 && pages != 1 {
			t.Errorf("%d rows are on %d pages", rows, pages)
		}
		if dir := os.Getenv("ACCORDO_PAPER_DIR"); dir != "" {
			if err := os.WriteFile(fmt.Sprintf("%s/paper-%d.pdf", dir, rows), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWrite_SameDocumentSameBytes(t *testing.T) {
	var a, b bytes.Buffer
	if err := errors.Join(paper.Write(&a, document(30)), paper.Write(&b, document(30))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same document gave other bytes")
	}
}

func TestWrite_TakesAnyText(t *testing.T) {
	for _, text := range []string{"", "\x00\x01\x02", "a\nb\tc", "\xff\xfe", "😀 emoji", strings.Repeat("x", 5000), strings.Repeat("y ", 5000), ")(\\", "日本語"} {
		d := document(1)
		d.Title, d.Mark, d.Notice, d.Facts[0][1], d.Tables[0].Rows[0].Cells[1] = text, text, text, text, text
		if err := paper.Write(&bytes.Buffer{}, d); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestWrite_RefusesTooManyRows(t *testing.T) {
	if err := paper.Write(&bytes.Buffer{}, document(paper.MaxRows+1)); !errors.Is(err, paper.ErrTooLong) {
		t.Errorf("error %v", err)
	}
}
