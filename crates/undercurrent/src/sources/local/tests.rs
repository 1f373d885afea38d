mod files;
mod git;
mod ignoring;
mod losses;
mod moves;
mod site;
