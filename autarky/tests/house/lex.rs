//! Rust text as tokens, just enough to see imports, functions and test modules. Comments vanish, a string is one
//! token, so neither can be mistaken for code.

/// One token and the lines it stands on, counted from 1.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) last_line: usize,
}

/// The tokens of `source`, without `#[cfg(test)]` modules and imports.
pub(crate) fn shipped(source: &str) -> Vec<Token> {
    let tokens = tokens(source);
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let marked = ["#", "[", "cfg", "(", "test", ")", "]"].iter().enumerate().all(|(n, text)| is(at + n, text));
        let mut item = at + 7;
        while marked && (is(item, "#") || is(item, "pub")) {
            item = if is(item + 1, "[") || is(item + 1, "(") { close(&tokens, item + 1) + 1 } else { item + 1 };
        }
        if marked && (is(item, "mod") || is(item, "use")) {
            let opens = is(item, "mod") && is(item + 2, "{");
            let semicolon = || (item..tokens.len()).find(|&end| is(end, ";")).unwrap_or(tokens.len());
            at = if opens { close(&tokens, item + 2) } else { semicolon() } + 1;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Where the bracket that opens at `open` closes; the end where it never does.
pub(crate) fn close(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let end = end_of(&chars, at);
        let text: String = chars[at..end].iter().collect();
        let breaks = text.matches('\n').count();
        if !text.starts_with("//") && !text.starts_with("/*") && !text.starts_with(char::is_whitespace) {
            found.push(Token { text, line, last_line: line + breaks });
        }
        (at, line) = (end, line + breaks);
    }
    found
}

/// Where the token, comment or white space that begins at `at` ends.
fn end_of(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or(' ');
    let while_at = |from: usize, keep: &dyn Fn(char) -> bool| {
        (from..chars.len()).find(|&n| !keep(chars[n])).unwrap_or(chars.len())
    };
    match next(0) {
        c if c.is_whitespace() => while_at(at, &char::is_whitespace),
        '/' if next(1) == '/' => while_at(at, &|c| c != '\n'),
        '/' if next(1) == '*' => end_of_block(chars, at),
        '"' => end_of_string(chars, at + 1),
        '\'' if next(1) == '\\' => while_at(at + 3, &|c| c != '\'') + 1,
        '\'' if next(2) == '\'' => at + 3,
        ':' if next(1) == ':' => at + 2,
        c if c.is_alphanumeric() || c == '_' => {
            let end = while_at(at, &|c| c.is_alphanumeric() || c == '_');
            let word: String = chars[at..end].iter().collect();
            let hashes = while_at(end, &|c| c == '#') - end;
            let quoted = chars.get(end + hashes) == Some(&'"');
            match word.as_str() {
                "r" | "br" | "cr" if quoted => end_of_raw(chars, end + hashes + 1, hashes),
                "b" | "c" if quoted && hashes == 0 => end_of_string(chars, end + 1),
                _ => end,
            }
        }
        _ => at + 1,
    }
}

fn end_of_block(chars: &[char], open: usize) -> usize {
    let (mut depth, mut at) = (0usize, open);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn end_of_raw(chars: &[char], mut at: usize, hashes: usize) -> usize {
    while at < chars.len() {
        let closed = chars[at] == '"' && (1..=hashes).all(|n| chars.get(at + n) == Some(&'#'));
        at += 1;
        if closed {
            return at + hashes;
        }
    }
    at
}
