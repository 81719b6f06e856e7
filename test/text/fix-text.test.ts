import test from 'ava'
import { fixText } from '../../lib/text/fix-text'

// Expected values: ftfy 6.3.1, fix_text with its defaults.
const cases: Record<string, [before: string, after: string][]> = {
  'unescapes character references, named, numeric and in capitals': [
    ['&eacute;t&eacute; &copy; &#233; &#xe9; &#128;', 'été © é é €'],
    ['P&EACUTE;REZ &NTILDE; &SZLIG; &AMP;', 'PÉREZ Ñ SS &'],
    ['&amp;amp; &lt; &amp;amp;', '& < &'],
    ['&unknown; &eacute &nTILDE;', '&unknown; &eacute &nTILDE;'],
  ],
  'keeps character references from the first line on that contains a "<"': [
    ['&amp;\n<b> &amp;\n&amp;', '&\n<b> &amp;\n&amp;'],
  ],
  'decodes UTF-8 that was read as Windows-1252 or Latin-1, also twice over': [
    ['schÃ¶n, itâ€™s â€œgoodâ€\u009d', 'schön, it\'s "good"'],
    ['ðŸ˜€ æ\u009d±äº¬ Ð\u009cÐ¾Ñ\u0081ÐºÐ²Ð°', '😀 東京 Москва'],
    ['cafÃƒÂ©', 'café'],
    ['Ä°stanbul RÄ«ga', 'İstanbul Rīga'],
  ],
  'leaves text alone that only looks a little like it': [
    ['CAFÉ® «É» Äpfel ÃO 10 × 10 m², lá´´ Ångström', 'CAFÉ® «É» Äpfel ÃO 10 × 10 m², lá´´ Ångström'],
  ],
  'reads C1 controls as Windows-1252': [['\u0080 \u0099 \u0085', '€ ™ …']],
  'splits Latin ligatures and digraphs': [['ﬁne ﬂuﬃ ﬆ Ǆ ĳ', 'fine fluffi st DŽ ij']],
  'changes full and half width to the usual width': [['Ｆｕｌｌ　１２！ ｶﾞ', 'Full 12! ガ']],
  'straightens quotation marks': [['“a” ‘b’ it’s', '"a" \'b\' it\'s']],
  'uses one kind of line break': [['a\r\nb\rc\u2028d\u2029e', 'a\nb\nc\nd\ne']],
  'removes controls, terminal escapes and byte order marks but keeps tabs': [
    ['\ufeffa\u0000b\u0007\u007f\ufffc\t\x1b[1;31mred\x1b[0m', 'ab\tred'],
  ],
  'replaces lone surrogates and keeps pairs': [['x\ud800y \udc00 😀', 'x\ufffdy \ufffd 😀']],
  'composes letters and accents': [['e\u0301 \u212b', 'é Å']],
  'leaves plain text alone': [['a (photo:1.2) of [cats], 50%\n', 'a (photo:1.2) of [cats], 50%\n']],
}

for (const [title, pairs] of Object.entries(cases)) {
  test(title, (t) => {
    for (const [before, after] of pairs) t.is(fixText(before), after)
  })
}
