//! The ordinary life of a dep file.

use crate::Test;
use crate::watched::Watched;

pub const TESTS: &[Test] =
    tests![a_saved_file_is_told_and_an_equal_one_is_not, a_removed_file_is_gone_and_comes_back,];

fn a_saved_file_is_told_and_an_equal_one_is_not() {
    let deps = Watched::new();
    deps.write("web_prod.dep", "nginx:1.25\n");
    assert_eq!(deps.next_report(), "web_prod: nginx:1.25");
    deps.write("web_prod.dep", "# same\ndocker.io/library/nginx:1.25\n");
    deps.write("web_prod.dep", "nginx:1.26");
    assert_eq!(deps.next_report(), "web_prod: nginx:1.26");
    assert_eq!(deps.reports_until_calm(), Vec::<String>::new());
}

fn a_removed_file_is_gone_and_comes_back() {
    let deps = Watched::new();
    deps.write("web_prod.dep", "nginx:1.25\n");
    assert_eq!(deps.next_report(), "web_prod: nginx:1.25");
    std::fs::remove_file(deps.path("web_prod.dep")).unwrap();
    assert_eq!(deps.next_report(), "web_prod: gone");
    deps.write("web_prod.dep", "nginx:1.25\n");
    assert_eq!(deps.next_report(), "web_prod: nginx:1.25");
}
