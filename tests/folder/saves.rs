//! Every way people save a file, with the programs that they use.
//!
//! Each case starts from a file that says `nginx:1.24` (unless it says otherwise), saves
//! `nginx:1.25.3`, and must lead to exactly one report: the final content. `nginx:1.2` and
//! `nginx:1.25` on the way are valid images, which is what makes a torn read a failure here.
//!
//! A program that is not installed skips its case, in words; with `DEPD_TEST_REQUIRE_PROGRAMS=1`,
//! as the gate sets it, a missing program is a failure.

use std::path::Path;
use std::process::Command;

use crate::Test;
use crate::watched::Watched;

pub const TESTS: &[Test] = tests![each_way_to_save_leads_to_exactly_one_report_the_final_content,];

/// How a case begins.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    /// The file is there.
    Old,
    /// The file is not there yet.
    New,
    /// It holds `nginx:1.2`, with which the new content begins.
    Prefix,
    /// A script of its own makes it.
    Script(&'static str),
}

struct Case {
    name: &'static str,
    programs: &'static [&'static str],
    start: Start,
    /// Run by `sh`. `$F` is the dep file, `$D` the folder, `$B` a folder beside it.
    script: &'static str,
}

const fn case(name: &'static str, programs: &'static [&'static str], script: &'static str) -> Case {
    Case { name, programs, start: Start::Old, script }
}

const fn new(name: &'static str, programs: &'static [&'static str], script: &'static str) -> Case {
    Case { name, programs, start: Start::New, script }
}

const fn from(start: &'static str, case: Case) -> Case {
    Case { start: Start::Script(start), ..case }
}

const GIT: &str = "cd $D && git init -q . && git config user.email t@t && git config user.name t && \
    git config core.autocrlf false && echo nginx:1.24 > web_prod.dep && git add . && git commit -qm old && \
    git checkout -qb next && echo nginx:1.25.3 > web_prod.dep && git commit -qam new && git checkout -q -";

const ATOMIC: &str = "cd $D && mkdir ..2026_01 && echo nginx:1.24 > ..2026_01/web_prod.dep && \
    ln -s ..2026_01 ..data && ln -s ..data/web_prod.dep web_prod.dep";

/// Puts the program `fake` in place of ssh: it runs the far end of scp right here.
const FAR_END: &str = r#"printf '#!/bin/sh\nfor last; do :; done\ncase $last in\nsftp) for p in /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server /usr/lib/ssh/sftp-server; do [ -x $p ] && exec $p; done;;\n*) exec sh -c "$last";;\nesac\n' > $B/fake; chmod +x $B/fake; echo nginx:1.25.3 > $B/new; "#;

/// A real sshd, which speaks to scp through a pipe: no port, no account but our own, keys made here.
const SSHD: &str = "mkdir -p /run/sshd 2>/dev/null || true; for k in host own; do ssh-keygen -q -t ed25519 -N '' -f $B/$k; done; \
    printf '%s\\n' \"HostKey $B/host\" \"AuthorizedKeysFile $B/own.pub\" 'StrictModes no' 'PermitRootLogin yes' 'UsePAM yes' \
    'PidFile none' 'Subsystem sftp /usr/lib/openssh/sftp-server' > $B/sshd_config; \
    scp -q -F /dev/null -i $B/own -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
    -o \"ProxyCommand /usr/sbin/sshd -i -f $B/sshd_config\" $B/new $(id -un)@there:$F";

const CASES: &[Case] = &[
    case("echo", &[], "echo nginx:1.25.3 > $F"),
    new("echo into a new file", &[], "echo nginx:1.25.3 > $F"),
    case("printf without line end", &[], "printf nginx:1.25.3 > $F"),
    case("a here document", &[], "cat > $F <<END\n# why\nnginx:1.25.3\nEND"),
    case(
        "slow chunks",
        &[],
        "{ printf ngin; sleep 0.2; printf x:1.2; sleep 0.4; printf 5; sleep 0.7; printf '.3\\n'; } > $F",
    ),
    new(
        "slow chunks into a new file",
        &[],
        "{ printf nginx:1.2; sleep 0.6; printf 5; sleep 0.6; printf .3; } > $F",
    ),
    case(
        "slow appending",
        &[],
        ": > $F; for part in nginx :1. 2 5.3; do printf $part; sleep 0.1; done > $F",
    ),
    case("emptied first", &[], ": > $F; sleep 0.3; echo nginx:1.25.3 >> $F"),
    case("truncate", &["truncate"], "truncate -s 0 $F; sleep 0.2; echo nginx:1.25.3 > $F"),
    case("tee", &["tee"], "echo nginx:1.25.3 | tee $F"),
    case("tee, typed slowly", &["tee"], "{ printf nginx:1.2; sleep 0.5; echo 5.3; } | tee $F"),
    case("dd", &["dd"], "echo nginx:1.25.3 | dd of=$F status=none"),
    case(
        "dd byte by byte",
        &["dd"],
        "echo nginx:1.25.3 > $B/new; dd if=$B/new of=$F bs=1 status=none",
    ),
    case(
        "dd from a slow pipe",
        &["dd"],
        "{ printf nginx:1.2; sleep 0.6; printf 5; sleep 0.6; echo .3; } | dd of=$F bs=4 status=none",
    ),
    case(
        "dd without truncating",
        &["dd"],
        "echo nginx:1.25.3 | dd of=$F bs=3 conv=notrunc status=none",
    ),
    case("cp", &["cp"], "echo nginx:1.25.3 > $B/new; cp $B/new $F"),
    case(
        "cp -p",
        &["cp"],
        "echo nginx:1.25.3 > $B/new; touch -d 2020-01-01 $B/new; cp -p $B/new $F",
    ),
    case(
        "cp --remove-destination",
        &["cp"],
        "echo nginx:1.25.3 > $B/new; cp --remove-destination $B/new $F",
    ),
    case("mv on the same file system", &["mv"], "echo nginx:1.25.3 > $B/new; mv $B/new $F"),
    new("mv to a new name", &["mv"], "echo nginx:1.25.3 > $B/new; mv $B/new $F"),
    case(
        "mv from another file system",
        &["mv"],
        "N=$(mktemp -p /dev/shm); echo nginx:1.25.3 > $N; mv $N $F",
    ),
    case("mv within the folder", &["mv"], "echo nginx:1.25.3 > $D/x.tmp; mv $D/x.tmp $F"),
    case("install", &["install"], "echo nginx:1.25.3 > $B/new; install -m 644 $B/new $F"),
    case("ln -f", &["ln"], "echo nginx:1.25.3 > $B/new; ln -f $B/new $F"),
    new("ln", &["ln"], "echo nginx:1.25.3 > $B/new; ln $B/new $F"),
    case(
        "ln -sf beneath the folder",
        &["ln"],
        "mkdir $D/.store; echo nginx:1.25.3 > $D/.store/2; ln -sf .store/2 $F",
    ),
    case("sed -i", &["sed"], "sed -i s/1.24/1.25.3/ $F"),
    case("sed -i.bak", &["sed"], "sed -i.bak s/1.24/1.25.3/ $F"),
    case("perl -i", &["perl"], "perl -i -pe s/1.24/1.25.3/ $F"),
    case(
        "patch",
        &["patch"],
        "printf '@@ -1 +1 @@\\n-nginx:1.24\\n+nginx:1.25.3\\n' | patch -s $F",
    ),
    case(
        "tar",
        &["tar"],
        "echo nginx:1.25.3 > $B/web_prod.dep; tar -C $B -cf $B/t web_prod.dep; tar -C $D -xf $B/t",
    ),
    case("ed", &["ed"], "printf '%s\\n' ',s/1.24/1.25.3/' w q | ed -s $F"),
    case(
        "vim backupcopy=auto",
        &["vim"],
        "vim -u NONE -i NONE -es '+set backupcopy=auto writebackup' +%s/1.24/1.25.3/ +wq $F",
    ),
    case(
        "vim backupcopy=yes",
        &["vim"],
        "vim -u NONE -i NONE -es '+set backupcopy=yes writebackup' +%s/1.24/1.25.3/ +wq $F",
    ),
    case(
        "vim backupcopy=no",
        &["vim"],
        "vim -u NONE -i NONE -es '+set backupcopy=no writebackup' +%s/1.24/1.25.3/ +wq $F",
    ),
    case(
        "vim with backup",
        &["vim"],
        "vim -u NONE -i NONE -es '+set backup backupcopy=no' +%s/1.24/1.25.3/ +wq $F",
    ),
    case(
        "vim on a terminal",
        &["vim", "script"],
        "(sleep 1; printf ':%%s/1.24/1.25.3/\\r'; sleep 0.3; printf ':wq\\r'; sleep 0.5) | TERM=xterm script -qec \"vim -u NONE -i NONE $F\" /dev/null >/dev/null",
    ),
    case(
        "nano",
        &["nano", "script"],
        "(sleep 1; printf '\\013nginx:1.25.3'; sleep 0.3; printf '\\017'; sleep 0.3; printf '\\r'; sleep 0.3; printf '\\030'; sleep 0.5) | TERM=xterm script -qec \"nano -I $F\" /dev/null >/dev/null",
    ),
    case(
        "emacs",
        &["emacs"],
        "emacs -Q --batch $F --eval '(progn (erase-buffer) (insert \"nginx:1.25.3\\n\") (save-buffer))' 2>/dev/null",
    ),
    case(
        "emacs, backup by copying",
        &["emacs"],
        "emacs -Q --batch --eval '(setq backup-by-copying t)' $F --eval '(progn (erase-buffer) (insert \"nginx:1.25.3\\n\") (save-buffer))' 2>/dev/null",
    ),
    case(
        "emacs, precious",
        &["emacs"],
        "emacs -Q --batch --eval '(setq-default file-precious-flag t)' $F --eval '(progn (erase-buffer) (insert \"nginx:1.25.3\\n\") (save-buffer))' 2>/dev/null",
    ),
    case("rsync", &["rsync"], "echo nginx:1.25.3 > $B/web_prod.dep; rsync $B/web_prod.dep $D/"),
    case(
        "rsync -a --delete",
        &["rsync"],
        "mkdir $B/s; echo nginx:1.25.3 > $B/s/web_prod.dep; rsync -a --delete $B/s/ $D/",
    ),
    case(
        "rsync --inplace",
        &["rsync"],
        "echo nginx:1.25.3 > $B/web_prod.dep; rsync --inplace $B/web_prod.dep $D/",
    ),
    case(
        "rsync --delay-updates",
        &["rsync"],
        "echo nginx:1.25.3 > $B/web_prod.dep; rsync -a --delay-updates $B/web_prod.dep $D/",
    ),
    Case {
        start: Start::Prefix,
        ..case(
            "rsync --append-verify onto a prefix",
            &["rsync"],
            "echo nginx:1.25.3 > $B/web_prod.dep; rsync --append-verify $B/web_prod.dep $D/",
        )
    },
    case("scp", &["scp", "/usr/lib/openssh/sftp-server"], "scp -q -S $B/fake $B/new there:$F"),
    case(
        "scp through sshd",
        &["scp", "ssh-keygen", "/usr/sbin/sshd", "/usr/lib/openssh/sftp-server"],
        SSHD,
    ),
    case("scp by the old protocol", &["scp"], "scp -O -q -S $B/fake $B/new there:$F"),
    case(
        "sftp",
        &["sftp", "/usr/lib/openssh/sftp-server"],
        "echo \"put $B/new $F\" | sftp -q -b - -S $B/fake there >/dev/null",
    ),
    from(GIT, case("git checkout", &["git"], "cd $D && git checkout -q next")),
    from(GIT, case("git merge", &["git"], "cd $D && git merge -q next")),
    from(GIT, case("git reset --hard", &["git"], "cd $D && git reset -q --hard next")),
    from(
        ATOMIC,
        case(
            "a ConfigMap volume",
            &["ln", "mv"],
            "cd $D && mkdir ..2026_02 && echo nginx:1.25.3 > ..2026_02/web_prod.dep && ln -s ..2026_02 ..data_tmp && mv -T ..data_tmp ..data && rm -r ..2026_01",
        ),
    ),
    case(
        "python, flushed byte by byte",
        &["python3"],
        "python3 -c \"\nimport sys, time\nwith open(sys.argv[1], 'w') as f:\n    for c in 'nginx:1.25.3':\n        f.write(c); f.flush(); time.sleep(0.02)\n\" $F",
    ),
    case(
        "python, mapped into memory",
        &["python3"],
        "python3 -c \"\nimport sys, mmap\nwith open(sys.argv[1], 'r+b') as f:\n    f.truncate(12)\n    m = mmap.mmap(f.fileno(), 12)\n    m[:] = b'nginx:1.25.3'\n    m.close()\n\" $F",
    ),
    case(
        "python, os.replace",
        &["python3"],
        "python3 -c \"\nimport sys, os\nt = sys.argv[1] + '.tmp'\nopen(t, 'w').write('nginx:1.25.3')\nos.replace(t, sys.argv[1])\n\" $F",
    ),
    case(
        "VS Code's pattern",
        &["python3"],
        "python3 -c \"\nimport sys, os\nf = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)\nos.write(f, b'nginx:1.25.3')\nos.fsync(f)\nos.close(f)\n\" $F",
    ),
    case(
        "JetBrains' pattern",
        &["mv"],
        "echo nginx:1.25.3 > ${F}___jb_tmp___; mv $F ${F}___jb_old___; mv ${F}___jb_tmp___ $F; rm ${F}___jb_old___",
    ),
    case(
        "GNOME's pattern",
        &["mv"],
        "echo nginx:1.25.3 > $D/.goutputstream-X; ln $F $F~; mv $D/.goutputstream-X $F",
    ),
    case("removed and written anew", &["rm"], "rm $F; sleep 0.4; echo nginx:1.25.3 > $F"),
    case(
        "moved away and back",
        &["mv"],
        "mv $F $B/away; sed -i s/1.24/1.25.3/ $B/away; mv $B/away $F",
    ),
    case(
        "a hundred saves in a row",
        &[],
        "for n in $(seq 99); do echo nginx:1.24 > $F; done; echo nginx:1.25.3 > $F",
    ),
];

fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    program.starts_with('/') && Path::new(program).exists()
        || std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

fn shell(deps: &Watched, script: &str) {
    let base = deps.base.path();
    let output = Command::new("sh")
        .args(["-euc", &format!("{FAR_END}{script}")])
        .env("F", deps.path("web_prod.dep"))
        .env("D", base.join("deps"))
        .env("B", base)
        .env("LC_ALL", "C")
        .env("HOME", base)
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

fn run(case: &Case) {
    let deps = Watched::new();
    match case.start {
        Start::New => {}
        Start::Old => deps.write("web_prod.dep", "nginx:1.24\n"),
        Start::Prefix => deps.write("web_prod.dep", "nginx:1.2"),
        Start::Script(script) => shell(&deps, script),
    }
    if case.start != Start::New {
        let image = if case.start == Start::Prefix { "nginx:1.2" } else { "nginx:1.24" };
        let before = deps.reports_until_calm();
        assert_eq!(before.last(), Some(&format!("web_prod: {image}")));
    }
    shell(&deps, case.script);
    assert_eq!(deps.reports_until_calm(), ["web_prod: nginx:1.25.3"], "{}", deps.log());
}

/// FAULTS row 6 (vim or git replacing a file) and row 1 (torn writes) are among these.
fn each_way_to_save_leads_to_exactly_one_report_the_final_content() {
    let strict = std::env::var_os("DEPD_TEST_REQUIRE_PROGRAMS").is_some_and(|v| v == "1");
    let mut failures = Vec::new();
    let mut running = Vec::new();
    for case in CASES {
        match case.programs.iter().find(|program| !is_installed(program)) {
            Some(program) if strict => {
                failures.push(format!("{}: {program} is not installed", case.name))
            }
            Some(program) => println!("skipped: {}: {program} is not installed", case.name),
            None => {
                let thread = std::thread::Builder::new().name(case.name.to_owned());
                running.push((case.name, thread.spawn(move || run(case)).expect("a thread")));
            }
        }
    }
    for (name, thread) in running {
        if thread.join().is_err() {
            failures.push(format!("{name}: see above"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
